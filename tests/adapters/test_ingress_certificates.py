"""Clients that show a certificate: who is asked, who is believed, and what auth hears of it."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from tests.dialogs.house import open_house
from tests.support.certificates import Authority

TALK = b"EHLO printer.test\r\nMAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\nQUIT\r\n"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@asynccontextmanager
async def asking_house(tmp_path, pem):
    (tmp_path / "clients.pem").write_text(pem)
    async with open_house(tmp_path, client_cas=tmp_path / "clients.pem") as house:
        for listener in ("submissions", "mx"):
            await house.change(listener, client_certificates=True)
        yield house


def holder(folder=None, version=ssl.TLSVersion.TLSv1_3):
    """Return a client's context, which shows the certificate in ``folder``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    if folder is not None:
        context.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    return context


def talk(where, context, session=None):
    """Say `TALK` under TLS; return what was heard, and the session to resume."""
    with (
        socket.create_connection(where, timeout=10) as plain,
        context.wrap_socket(plain, session=session) as tls,
    ):
        tls.sendall(TALK)
        heard = b""
        while octets := tls.recv(65_536):
            heard += octets
        return heard, tls.session


async def is_refused(house, context):
    """Whether the server hangs up, with an alert or without, and says nothing."""
    try:
        heard, _ = await asyncio.to_thread(talk, house.address("submissions"), context)
    except OSError:
        return True
    return heard == b""


def certificates_asked_about(house):
    return [question.certificate for batch in house.auth.batches for question in batch]


async def test_auth_hears_which_certificate_a_client_has_and_the_log_whose_it_is(
    tmp_path, authority
):
    der = authority.issue(tmp_path / "printer", "printer.test")
    async with asking_house(tmp_path, authority.pem) as house:
        with capture_logs() as logs:
            await asyncio.to_thread(
                talk, house.address("submissions"), holder(tmp_path / "printer")
            )

        fingerprint = f"sha256:{sha256(der).hexdigest()}"
        assert certificates_asked_about(house) == [fingerprint]
        (line,) = [line for line in logs if line["event"] == "client certificate"]
        assert (line["sha256"], line["of"]) == (fingerprint, "CN=leaf, printer.test")


async def test_it_counts_after_starttls_as_well(tmp_path, authority):
    der = authority.issue(tmp_path / "printer", "printer.test")
    async with asking_house(tmp_path, authority.pem) as house:
        client = await house.connect()
        await client.reply()
        await client.ask("EHLO x")
        assert (await client.ask("STARTTLS"))[:3] == "220"
        async with asyncio.timeout(10):
            await client.writer.start_tls(holder(tmp_path / "printer"))
        client.send(TALK)
        assert await client.replies(4) == ["250", "250", "250", "221"]

        assert certificates_asked_about(house) == [f"sha256:{sha256(der).hexdigest()}"]


async def test_who_has_none_is_welcome_and_who_is_not_asked_shows_none(tmp_path, authority):
    authority.issue(tmp_path / "printer", "printer.test")
    async with asking_house(tmp_path, authority.pem) as house:
        await asyncio.to_thread(talk, house.address("submissions"), holder())
        await house.change("submissions", client_certificates=False)
        await asyncio.to_thread(talk, house.address("submissions"), holder(tmp_path / "printer"))

        assert certificates_asked_about(house) == ["", ""]


async def test_a_certificate_that_nobody_vouches_for_is_refused_in_the_handshake(
    tmp_path, authority
):
    Authority().issue(tmp_path / "stranger", "printer.test")
    async with asking_house(tmp_path, authority.pem) as house:
        assert await is_refused(house, holder(tmp_path / "stranger"))
        assert certificates_asked_about(house) == []


async def test_a_certificate_may_vouch_for_itself_alone(tmp_path, authority):
    own = authority.issue(tmp_path / "printer", "printer.test")
    authority.issue(tmp_path / "other", "other.test")
    pem = ssl.DER_cert_to_PEM_cert(own)
    async with asking_house(tmp_path, pem) as house:
        await asyncio.to_thread(talk, house.address("submissions"), holder(tmp_path / "printer"))
        assert await is_refused(house, holder(tmp_path / "other"))
        assert certificates_asked_about(house) == [f"sha256:{sha256(own).hexdigest()}"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_comes_again_is_who_it_was(tmp_path, authority, version):
    der = authority.issue(tmp_path / "printer", "printer.test")
    async with asking_house(tmp_path, authority.pem) as house:
        context, where = holder(tmp_path / "printer", version), house.address("submissions")
        _, session = await asyncio.to_thread(talk, where, context)
        await asyncio.to_thread(talk, where, context, session)

        assert certificates_asked_about(house) == [f"sha256:{sha256(der).hexdigest()}"] * 2


async def test_what_a_front_shows_is_not_its_clients(tmp_path, authority):
    authority.issue(tmp_path / "front", "front.test")
    (tmp_path / "clients.pem").write_text(authority.pem)
    settings = {"client_cas": tmp_path / "clients.pem", "xclient": ("127.0.0.1/32",)}
    async with open_house(tmp_path, **settings) as house:
        await house.change("submissions", client_certificates=True)
        client = await house.connect("submissions")
        async with asyncio.timeout(10):
            await client.writer.start_tls(holder(tmp_path / "front"))
        await client.reply()
        assert (await client.ask("XCLIENT ADDR=203.0.113.9"))[:3] == "220"
        client.send(TALK)
        await client.replies(4)

        assert certificates_asked_about(house) == [""]


async def test_a_listener_that_asks_while_nobody_vouches_says_so(tmp_path):
    with capture_logs() as logs:
        async with open_house(tmp_path) as house:
            await house.change("submissions", client_certificates=True)
            await asyncio.to_thread(talk, house.address("submissions"), holder())

    assert any("client_cas is not set" in line["event"] for line in logs)
