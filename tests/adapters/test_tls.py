"""TLS: which certificate is shown to whom, and how it follows the files."""

import asyncio
import hashlib
import shutil
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kernel.certificate import BadCertificateError, CertificateSettings
from kernel.clock import system_clock
from kernel.tls import Certificates, open_certificates
from tests.support.certificates import Authority

HOST = "mx.ours.test"


@pytest.fixture(scope="module")
def authority():
    return Authority()


def certificates(folder, clock=system_clock, **settings):
    settings = {"tls_folder": folder / "own", **settings}
    return Certificates(CertificateSettings(**settings), HOST, clock)


async def test_who_vouches_for_clients_is_read_again_with_the_files(tmp_path, authority):
    authority.issue(tmp_path, HOST)
    vouching = tmp_path / "clients.pem"
    vouching.write_text(authority.pem)
    settings = CertificateSettings(**pair_in(tmp_path))
    shown = Certificates(settings, HOST, system_clock, vouching)
    asking, client = shown.context_for(asks=True), trusting()
    Authority().issue(tmp_path / "client", "client.test")
    client.load_cert_chain(tmp_path / "client" / "fullchain.pem", tmp_path / "client/privkey.pem")

    assert asking.verify_mode is ssl.CERT_OPTIONAL
    assert shown.context_for(asks=False).verify_mode is ssl.CERT_NONE
    assert not handshake(asking, client)
    leaf = (tmp_path / "client" / "fullchain.pem").read_text()
    vouching.write_text(leaf[: leaf.index("-----END") + 25] + "\n")
    settle(shown)
    assert handshake(asking, client)

    vouching.write_text("nothing of the kind")
    settle(shown)
    assert handshake(asking, client)


def handshake(ours, theirs):
    """Return whether both sides come to an end, without a socket."""
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [ours.wrap_bio(to_us, to_them, server_side=True), theirs.wrap_bio(to_them, to_us)]
    for _ in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return True


def pair_in(folder):
    return {"tls_cert": folder / "fullchain.pem", "tls_key": folder / "privkey.pem"}


def settle(shown):
    """Look as often as it takes until what has changed is believed."""
    shown.look()
    shown.look()


@asynccontextmanager
async def serving(shown):
    """Greet whoever comes, and yield how to come there."""
    bindings = asyncio.Queue()

    async def greet(reader, writer):
        bindings.put_nowait(shown.binding_of(writer.get_extra_info("ssl_object")))
        writer.write(b"hello\n")
        writer.write(await reader.readline())
        writer.close()

    async def visit(name=None, **options):
        """Return the certificate that is shown, and what the server binds to."""
        context = trusting()
        for option, value in options.items():
            setattr(context, option, value)
        reader, writer = await asyncio.open_connection(*where, ssl=context, server_hostname=name)
        seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        await reader.readline()
        writer.close()
        return seen, await bindings.get()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=shown.context)
    where = server.sockets[0].getsockname()
    visit.where, visit.bound = where, bindings.get
    async with server:
        yield visit


def trusting():
    """Return a client's context that asks nobody whom to trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def shown_to(shown, name=""):
    async with serving(shown) as visit:
        certificate, binding = await visit(name)
    assert binding == hashlib.sha256(certificate).digest()
    return certificate


async def test_the_one_that_we_sign_ourselves_is_shown_where_there_is_no_other(tmp_path):
    shown = certificates(tmp_path)

    assert hashlib.sha256(await shown_to(shown)).digest() == shown.binding


async def test_the_name_that_is_asked_for_picks_the_certificate(tmp_path, authority):
    ours = authority.issue(tmp_path / HOST, HOST)
    other = authority.issue(tmp_path / "other", "mail.other.test", "other.test")
    wild = authority.issue(tmp_path / "another", "*.wild.test")
    shown = certificates(tmp_path, tls_certs=tmp_path)

    assert await shown_to(shown, "mail.other.test") == other
    assert await shown_to(shown, "OTHER.test") == other
    assert await shown_to(shown, "any.wild.test") == wild
    for name in ("", HOST, "one.any.wild.test", "wild.test", "elsewhere.test"):
        assert await shown_to(shown, name) == ours, name


async def test_the_certificate_that_is_set_is_for_whoever_names_no_other(tmp_path, authority):
    named = authority.issue(tmp_path / "live" / "other", "other.test")
    default = authority.issue(tmp_path / "set", "set.test")
    shown = certificates(tmp_path, tls_certs=tmp_path / "live", **pair_in(tmp_path / "set"))

    assert await shown_to(shown) == default
    assert await shown_to(shown, "other.test") == named


async def test_new_files_are_shown_once_they_stay_as_they_are(tmp_path, authority):
    first = authority.issue(tmp_path, HOST)
    shown = certificates(tmp_path, **pair_in(tmp_path))
    second = authority.issue(tmp_path, HOST)

    shown.look()
    assert await shown_to(shown) == first
    shown.look()
    assert await shown_to(shown) == second


async def test_a_symbolic_link_that_leads_elsewhere_counts_as_new(tmp_path, authority):
    authority.issue(tmp_path / "archive1", HOST)
    renewed = authority.issue(tmp_path / "archive2", HOST)
    live = tmp_path / "live"
    live.mkdir()
    (live / HOST).symlink_to(tmp_path / "archive1")
    shown = certificates(tmp_path, tls_certs=live)

    (live / "new").symlink_to(tmp_path / "archive2")
    (live / "new").replace(live / HOST)
    settle(shown)

    assert await shown_to(shown) == renewed


async def test_who_is_connected_stays_while_the_certificate_changes(tmp_path, authority):
    first = authority.issue(tmp_path, HOST)
    shown = certificates(tmp_path, **pair_in(tmp_path))
    async with serving(shown) as visit:
        reader, writer = await asyncio.open_connection(*visit.where, ssl=trusting())
        assert await reader.readline() == b"hello\n"
        second = authority.issue(tmp_path, HOST)
        settle(shown)
        assert (await visit())[0] == second

        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        assert writer.get_extra_info("ssl_object").getpeercert(binary_form=True) == first
        writer.close()


@contextmanager
def refused(*words):
    with capture_logs() as logs:
        yield
    [entry] = [entry for entry in logs if entry["event"] == "certificate refused"]
    assert entry["log_level"] == "error"
    assert all(word in entry["why"] for word in words)


async def test_a_key_of_another_certificate_is_refused_and_the_old_one_stays(tmp_path, authority):
    first = authority.issue(tmp_path, HOST)
    shown = certificates(tmp_path, **pair_in(tmp_path))
    authority.issue(tmp_path / "other", HOST)
    shutil.copy(tmp_path / "other" / "privkey.pem", tmp_path / "privkey.pem")

    with refused("fullchain.pem", "mismatch"):
        settle(shown)
        settle(shown)

    assert await shown_to(shown) == first
    second = authority.issue(tmp_path, HOST)
    settle(shown)
    assert await shown_to(shown) == second


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pair: (pair / "fullchain.pem").write_text("no certificate"),
        lambda pair: (pair / "fullchain.pem").unlink(),
        lambda pair: (pair / "privkey.pem").write_bytes(b""),
    ],
    ids=["garbage", "gone", "empty"],
)
async def test_files_that_break_take_nothing_away(tmp_path, authority, spoil):
    first = authority.issue(tmp_path, HOST)
    shown = certificates(tmp_path, **pair_in(tmp_path))
    spoil(tmp_path)

    with refused():
        settle(shown)

    assert await shown_to(shown) == first


async def test_one_that_has_ended_takes_no_ones_place(tmp_path, authority):
    first = authority.issue(tmp_path, HOST)
    shown = certificates(tmp_path, **pair_in(tmp_path))
    authority.issue(tmp_path, HOST, ends=system_clock() - timedelta(hours=1))

    with refused("ended"):
        settle(shown)

    assert await shown_to(shown) == first


async def test_a_broken_one_keeps_no_other_from_being_renewed(tmp_path, authority):
    authority.issue(tmp_path / "a", "a.test")
    authority.issue(tmp_path / "b", "b.test")
    shown = certificates(tmp_path, tls_certs=tmp_path)
    (tmp_path / "a" / "privkey.pem").write_bytes(b"")
    renewed = authority.issue(tmp_path / "b", "b.test")

    with refused():
        settle(shown)

    assert await shown_to(shown, "b.test") == renewed


async def test_names_come_and_go_with_their_folders(tmp_path, authority):
    live = tmp_path / "live"
    live.mkdir()
    shown = certificates(tmp_path, tls_certs=live)
    own = await shown_to(shown)

    ours = authority.issue(live / HOST, HOST)
    other = authority.issue(live / "other", "other.test")
    settle(shown)
    assert await shown_to(shown) == ours != own
    assert await shown_to(shown, "other.test") == other

    shutil.rmtree(live / "other")
    settle(shown)
    assert await shown_to(shown, "other.test") == ours


def test_nothing_to_show_ends_the_start(tmp_path):
    with pytest.raises(BadCertificateError, match="nowhere"):
        certificates(tmp_path, tls_cert=tmp_path / "nowhere.pem")


async def test_a_key_behind_a_password_is_refused_and_nobody_is_asked(tmp_path, authority):
    (tmp_path / "privkey.pem").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    authority.issue(tmp_path / "there", HOST)
    shutil.copy(tmp_path / "there" / "fullchain.pem", tmp_path)

    with pytest.raises(BadCertificateError):
        certificates(tmp_path, **pair_in(tmp_path))


async def test_the_one_that_we_sign_ourselves_is_renewed_while_we_run(tmp_path):
    now = system_clock()
    shown = certificates(tmp_path, lambda: now)
    first = await shown_to(shown)

    now += timedelta(days=3640)
    settle(shown)

    assert await shown_to(shown) != first
    assert len(list((tmp_path / "own").iterdir())) == 1


async def test_an_end_within_a_fortnight_is_told_once_a_day(tmp_path, authority):
    now = system_clock()
    ends = (now + timedelta(days=15)).replace(microsecond=0)
    authority.issue(tmp_path, HOST, ends=ends)

    with capture_logs() as logs:
        shown = certificates(tmp_path, lambda: now, **pair_in(tmp_path))
        for hours in (0, 12, 25, 26, 48, 50):
            now = ends - timedelta(days=15) + timedelta(hours=hours)
            shown.look()

    told = [entry for entry in logs if entry["event"] == "a certificate ends soon"]
    assert len(told) == 2
    assert {entry["log_level"] for entry in told} == {"warning"}
    expires = REGISTRY.get_sample_value("postroom_tls_expires_timestamp_seconds", {"name": HOST})
    assert expires == ends.timestamp()


async def test_a_session_that_is_resumed_has_nothing_to_bind_to(tmp_path):
    shown = certificates(tmp_path)
    client = trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(shown) as visit:

        def connect(session=None):
            with (
                socket.create_connection(visit.where) as plain,
                client.wrap_socket(plain, session=session) as secured,
            ):
                secured.recv(100)
                return secured.session, secured.session_reused

        session, _ = await asyncio.to_thread(connect)
        _, was_resumed = await asyncio.to_thread(connect, session)

        assert was_resumed
        assert await visit.bound() == shown.binding
        assert await visit.bound() == b""


async def test_keys_of_session_tickets_last_a_day(tmp_path):
    now = system_clock()
    shown = certificates(tmp_path, lambda: now)
    first = shown.context
    now += timedelta(hours=23)
    shown.look()
    assert shown.context is first

    now += timedelta(hours=1)
    shown.look()
    assert shown.context is not first
    assert hashlib.sha256(await shown_to(shown)).digest() == shown.binding


async def test_the_files_are_followed_by_themselves(tmp_path, authority):
    authority.issue(tmp_path, HOST)
    settings = CertificateSettings(**pair_in(tmp_path), tls_folder=tmp_path)
    async with (
        open_certificates(settings, HOST, system_clock, look_every=0.02) as shown,
        serving(shown) as visit,
        asyncio.timeout(10),
    ):
        second = authority.issue(tmp_path, HOST)
        while (await visit())[0] != second:
            pass
