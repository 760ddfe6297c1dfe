"""Users collect what was sent to them, with software of others; and may send from there then."""

import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.brokers import install
from tests.support.stack import PASSWORD, STRANGER, Stack, make_stack, send, wait_until

TRUSTING = ssl._create_unverified_context()


@pytest.fixture(scope="module")
def stack(kind, sink, tmp_path_factory, stack_urls) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("collecting")
    routes = f'{{"*": "127.0.0.1:{sink.port}"}}'
    with stack_urls(kind) as urls, make_stack(kind, folder, urls, routes=routes).running() as stack:
        yield stack


@pytest.fixture
def user(stack, request) -> str:
    """A user for this test alone, with one mail."""
    name = "".join(c for c in request.node.name.partition("[")[0][5:] if c.isalpha())[-30:]
    number = len(stack.call("auth", "/v1/users?limit=1000")[1]["items"])
    address = f"{name}{number}@ours.test"
    stack.add_user(address)
    write_to(stack, address)
    return address


def write_to(stack, address, text=b"..two dots\r\nbye\r\n"):
    before = len(stack.mailbox(address))
    message = b"From: x@y.test\r\nSubject: collect me\r\n\r\n" + text
    with stack.smtp() as session:
        send(session, "x@y.test", [address], message)
    wait_until(lambda: len(stack.mailbox(address)) > before, "the mail is delivered")


@contextmanager
def collecting(stack, user, client="127.0.0.1", *, tls=True, password=PASSWORD):
    """Yield a POP3 session that is logged in; nobody says QUIT for it."""
    line = socket.create_connection(("127.0.0.1", stack.ports["pop3"]), 10, (client, 0))
    session = Pop3(line)
    try:
        if tls:
            session.stls(TRUSTING)
        session.user(user)
        session.pass_(password)
        yield session
    finally:
        session.close()


class Pop3(poplib.POP3):
    """A session over a connection that we have made."""

    def __init__(self, line):
        self._line = line
        super().__init__("127.0.0.1", timeout=10)

    def _create_socket(self, timeout):
        return self._line


# Python.


@pytest.mark.parametrize("listener", ["pop3", "pop3s"])
def test_poplib_collects_what_was_sent(stack, user, listener):
    if listener == "pop3s":
        session = poplib.POP3_SSL("127.0.0.1", stack.ports[listener], timeout=10, context=TRUSTING)
    else:
        session = poplib.POP3("127.0.0.1", stack.ports[listener], timeout=10)
        session.stls(TRUSTING)
    session.user(user)
    session.pass_(PASSWORD)

    (stored,) = stack.mailbox(user)
    assert session.stat() == (1, len(stored))
    assert b"".join(line + b"\r\n" for line in session.retr(1)[1]) == stored
    assert b"..two dots" not in session.top(1, 0)[1]
    session.dele(1)
    assert stack.mailbox(user) == [stored]
    session.quit()

    assert stack.mailbox(user) == []


def test_apop_is_not_offered(stack, user):
    session = poplib.POP3("127.0.0.1", stack.ports["pop3"], timeout=10)

    with pytest.raises(poplib.error_proto, match="APOP not supported by server"):
        session.apop(user, PASSWORD)
    session.close()


def test_a_wrong_password_opens_nothing(stack, user):
    session = poplib.POP3_SSL("127.0.0.1", stack.ports["pop3s"], timeout=10, context=TRUSTING)
    session.user(user)

    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
        session.pass_("wrong")
    session.close()


def test_an_app_password_opens_what_it_is_for(stack, user):
    secrets = {}
    for purpose in ("collect", "send"):
        body = {"name": purpose, "purposes": [purpose]}
        status, made = stack.call("auth", f"/v1/users/{user}/app-passwords", body)
        assert status == 201, made
        secrets[purpose] = made["secret"]

    with collecting(stack, user, password=secrets["collect"]) as session:
        assert session.stat()[0] == 1
    with (
        pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"),
        collecting(stack, user, password=secrets["send"]),
    ):
        pass


def test_a_password_is_not_asked_for_in_the_clear_from_elsewhere(stack, user, own_address):
    with (
        pytest.raises(poplib.error_proto, match="Not without TLS"),
        collecting(stack, user, client=own_address, tls=False),
    ):
        pass


def test_a_second_session_is_told_that_the_mailbox_is_in_use(stack, user):
    with collecting(stack, user) as first:
        with (
            pytest.raises(poplib.error_proto, match=r"-ERR \[IN-USE\]"),
            collecting(stack, user),
        ):
            pass
        write_to(stack, user)  # delivery goes on meanwhile
        assert first.stat()[0] == 1
        first.quit()

    with collecting(stack, user) as second:
        assert second.stat()[0] == 2


def test_a_process_that_is_killed_amid_a_session_deletes_nothing(stack, user):
    program = "all" if stack.kind == "embedded" else "collect"
    with collecting(stack, user) as session:
        session.dele(1)
        stack.kill(program)
    assert len(stack.mailbox(user)) == 1

    stack.restart(program)

    with collecting(stack, user) as session:
        assert session.stat()[0] == 1


def test_both_services_show_the_same_certificate(stack):
    seen = {
        ssl.get_server_certificate(("127.0.0.1", stack.ports[listener]))
        for listener in ("pop3s", "submissions")
    }

    assert len(seen) == 1


# Other software.


def run(*command, **options):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def needs(program, package):
    if not shutil.which(program):
        install(package)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("scheme", ["pop3", "pop3s"])
def test_curl_collects(stack, user, scheme, mechanism):
    needs("curl", "curl")
    url = f"{scheme}://127.0.0.1:{stack.ports[scheme]}/1"
    login = ["--user", f"{user}:{PASSWORD}", "--login-options", f"AUTH={mechanism}"]

    said = run("curl", "-sSk", "--ssl-reqd", *login, url)

    assert said.replace("\r\n", "\n").endswith("\n\n..two dots\nbye\n")


def test_curl_logs_in_without_tls_where_no_password_is_shown(stack, user, own_address):
    needs("curl", "curl")
    login = ["--user", f"{user}:{PASSWORD}", "--interface", own_address]

    said = run("curl", "-sS", *login, f"pop3://127.0.0.1:{stack.ports['pop3']}/1")

    assert "collect me" in said


def test_fetchmail_collects_and_deletes(stack, user, tmp_path):
    needs("fetchmail", "fetchmail")
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll 127.0.0.1 service {stack.ports['pop3']} protocol pop3 auth cram-md5\n"
        f"user '{user}' password '{PASSWORD}'\n"
        "sslproto 'TLS1.2+' no sslcertck\n"
        f"bsmtp '{tmp_path}/mail'\n"
    )
    rc.chmod(0o600)

    run("fetchmail", "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "-v")

    assert "\n...two dots\n" in (tmp_path / "mail").read_text()
    assert stack.mailbox(user) == []


@pytest.mark.parametrize("mechanism", ["scram-sha-256", "cram-md5", "plain", "user"])
@pytest.mark.parametrize("listener", ["pop3", "pop3s"])
def test_mpop_collects_and_deletes(stack, user, tmp_path, listener, mechanism):
    needs("mpop", "mpop")
    maildir(tmp_path / "mail")
    rc = tmp_path / "rc"
    rc.write_text(
        f"account default\nhost 127.0.0.1\nport {stack.ports[listener]}\nuser {user}\n"
        f"password {PASSWORD}\nauth {mechanism}\ntls on\ntls_certcheck off\n"
        f"tls_starttls {'on' if listener == 'pop3' else 'off'}\n"
        f"delivery maildir {tmp_path}/mail\nkeep off\nuidls_file {tmp_path}/uidls\n"
    )
    rc.chmod(0o600)

    run("mpop", "-C", str(rc))

    assert b"\n..two dots\n" in only(tmp_path / "mail")
    assert stack.mailbox(user) == []


def maildir(folder: Path) -> None:
    for part in ("tmp", "new", "cur"):
        (folder / part).mkdir(parents=True)


def only(folder: Path) -> bytes:
    (file,) = (folder / "new").iterdir()
    return file.read_bytes()


# Collecting opens relaying.


@pytest.fixture(scope="module")
def own_address() -> str:
    """An address of this machine that is neither loopback nor in the LAN."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.fail("no address but loopback: as root, ip address add 198.51.100.2/32 dev lo")
    return address


@pytest.fixture
def counting_grants(stack):
    """Collecting opens relaying on port 25 meanwhile."""
    for state in (True, False):
        status, answer = stack.call(
            "auth", "/v1/listeners/mx", {"collection_grants": state}, method="PATCH"
        )
        assert status == 200, answer
        if state:
            yield


def relay(stack, client, sender, recipient) -> str:
    with stack.smtp(client=client) as session:
        return send(session, sender, [recipient], b"Subject: from anywhere\r\n\r\nhi\r\n")


def is_denied(stack, client, sender) -> bool:
    try:
        relay(stack, client, sender, "denied@remote.test")
    except smtplib.SMTPRecipientsRefused as refusal:
        ((code, _),) = refusal.recipients.values()
        return code == 550
    return False


def is_relayed(stack, client, sender, recipient) -> str:
    try:
        return relay(stack, client, sender, recipient)
    except smtplib.SMTPRecipientsRefused:
        return ""


def test_who_has_collected_may_send_from_there_until_the_grant_is_revoked(
    stack, user, sink, own_address, counting_grants
):
    assert is_denied(stack, own_address, user)

    with collecting(stack, user, client=own_address) as session:
        session.quit()

    recipient = f"grant-{stack.kind}@remote.test"
    mail = wait_until(lambda: is_relayed(stack, own_address, user, recipient), "it is relayed")
    wait_until(lambda: sink.to(recipient), "the remote has the mail")
    wait_until(lambda: stack.mail(mail).get("submitter") == user, "the ledger knows whose it is")
    assert is_denied(stack, STRANGER, user)

    assert stack.call("auth", f"/v1/grants/{own_address}", method="DELETE")[0] == 204
    wait_until(lambda: is_denied(stack, own_address, user), "it is refused again", within=6)


def test_a_grant_is_for_its_users_own_addresses(stack, user, own_address, counting_grants):
    with collecting(stack, user, client=own_address) as session:
        session.quit()

    wait_until(lambda: is_relayed(stack, own_address, user, "own@remote.test"), "it is relayed")
    with pytest.raises(smtplib.SMTPException, match=r"55[03]"):
        relay(stack, own_address, "boss@ours.test", "other@remote.test")


def test_loopback_outside_the_lan_gets_no_grant(stack, user, counting_grants):
    with collecting(stack, user, client=STRANGER) as session:
        session.quit()

    assert is_denied(stack, STRANGER, user)
    assert stack.call("auth", f"/v1/grants?client={STRANGER}")[1]["items"] == []
