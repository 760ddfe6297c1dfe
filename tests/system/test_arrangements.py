"""The six arrangements, set up by the very lines of docs/arrangements.md, and then tried out.

The page's addresses stand for such as this machine has. Embedded stacks are set up by the
page's commands, brokered ones by its REST calls; then the page's checks are run, and mail is
sent from inside and outside of the LAN.
"""

import io
import json
import poplib
import re
import shlex
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from postroom import cli
from tests.support.ports import free_port
from tests.support.sink import Sink
from tests.support.stack import PASSWORD, ROOT, Stack, make_stack, send, wait_until

PAGE = (ROOT / "docs" / "arrangements.md").read_text(encoding="utf-8")
ANN, BOSS = "ann@example.test", "boss@example.test"
REMOTE, ELSEWHERE = "y@remote.test", "x@elsewhere.test"
PRINTER, STRANGER = "127.0.1.20", "127.0.2.9"
HERE = {
    "192.168.1.0/24": "127.0.1.0/24",
    "192.168.1.20": PRINTER,
    "203.0.113.9": STRANGER,
    "'correct horse battery'": shlex.quote(PASSWORD),
    '"correct horse battery"': json.dumps(PASSWORD),
}
MESSAGE = b"From: x@y.test\r\nSubject: hi\r\n\r\nhi\r\n"


@dataclass(frozen=True)
class Fence:
    """A block of the page: commands with what they print, or REST calls."""

    kind: str
    lines: list[str]

    def follow(self, stack: Stack) -> None:
        """Do what the lines say; fail where the page promises something else."""
        if self.kind == "http":
            for line in self.lines:
                _call(stack, *line.split(" ", 2))
        else:
            for command, promised in self.commands():
                _run(stack, command, promised)

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        starts = [i for i, line in enumerate(self.lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(self.lines)], strict=True):
            promised = [line for line in self.lines[start + 1 : end] if line != "…"]
            yield self.lines[start][2:], promised


def _call(stack: Stack, method: str, path: str, body: str = "null") -> None:
    status, answer = stack.call("auth", path, json.loads(body), method)
    assert status < 300, f"{method} {path}: {status} {answer}"


def _run(stack: Stack, command: str, promised: list[str]) -> None:
    name, *words = shlex.split(command)
    assert name == "postroom", command
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as here, redirect_stdout(printed), redirect_stderr(printed):
        for variable, value in stack.env.items():
            here.setenv(variable, value)
        code = cli.run(words)
    lines = [line.split() for line in printed.getvalue().splitlines()]
    assert code == cli.FINE, f"{command}\n{printed.getvalue()}"
    assert [line for line in promised if line.split() not in lines] == [], printed.getvalue()


@dataclass
class Arrangement:
    """A running stack and its section of the page, which is followed block by block."""

    stack: Stack
    sink: Sink
    fences: list[Fence]

    def set_up(self) -> None:
        """Make the changes, by commands or by REST."""
        commands, calls = self.fences.pop(0), self.fences.pop(0)
        (commands if self.stack.kind == "embedded" else calls).follow(self.stack)

    def follow(self) -> None:
        """Do what the next block says."""
        self.fences.pop(0).follow(self.stack)

    def answer(
        self, client: str, sender: str, recipient: str, *, listener: str = "mx", login: str = ""
    ) -> tuple[str, str]:
        """Return the reply to RCPT, as a client sees it, and the rule that `explain` names."""
        with self.stack.smtp(listener, client=client, login=login) as session:
            session.mail(sender)
            code, text = session.rcpt(recipient)
        question = {"listener": listener, "client": client, "login": login, "helo": "client.test"}
        question |= {"sender": sender, "recipient": recipient}
        _, explained = self.stack.call("auth", "/v1/explain", question)
        assert explained["reply"] == f"{code} {text.decode()}"
        return f"{code} {text.split()[0].decode()}", explained["rule"]

    def sends(self, client: str, sender: str, *, listener: str = "mx", login: str = "") -> str:
        """Send a message to the world; return the rule that the remote reads in it."""
        recipient = f"{free_port()}@remote.test"
        with self.stack.smtp(listener, client=client, login=login) as session:
            mail = send(session, sender, [recipient], MESSAGE)
        (received,) = wait_until(lambda: self.sink.to(recipient), "the remote has the mail")
        (rule,) = re.findall(rb"\(rule ([\w-]+)\)", received.content)
        wait_until(lambda: self.stack.stages(mail) == {recipient: "relayed"}, "it is traced")
        accepted = next(s for s in self.stack.mail(mail)["timeline"] if s["stage"] == "accepted")
        assert accepted["detail"] == rule.decode()
        return rule.decode()


@contextmanager
def arrangement(
    title: str, folder: Path, urls: object = None, addresses: dict | None = None
) -> Iterator[Arrangement]:
    """Start a stack on which the section ``title`` of the page is to be followed."""
    sink = Sink(free_port()).start()
    remote = f"127.0.0.1:{sink.port}"
    servers = {"smarthost.example.net:25": remote, "192.0.2.25:25": remote}
    fences = section(title, HERE | servers | (addresses or {}))
    kind = "brokered" if urls else "embedded"
    names = {"domain": "example.test", "hostname": "mail.example.test"}
    settings = {"routes": json.dumps({"*": remote})} | settings_in(fences)
    try:
        with make_stack(kind, folder, urls, **names, **settings).running() as stack:
            yield Arrangement(stack, sink, [fence for fence in fences if fence.kind != "sh"])
    finally:
        sink.stop()


def settings_in(fences: list[Fence]) -> dict[str, str]:
    """Return the settings that the page sets before `make run`."""
    words = [word for fence in fences if fence.kind == "sh" for word in shlex.split(fence.lines[0])]
    given = [word.removeprefix("POSTROOM_").split("=", 1) for word in words if "=" in word]
    return {name.lower(): value for name, value in given}


def section(title: str, here: dict[str, str]) -> list[Fence]:
    """Return the blocks of a section, with our addresses for those of the page."""
    (text,) = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for theirs, ours in here.items():
        text = text.replace(theirs, ours)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(kind, lines.splitlines()) for kind, lines in blocks]


@pytest.fixture(scope="module")
def hotel() -> Iterator[str]:
    """An address that is neither loopback nor in the LAN, from which this machine can send."""
    if address := own_address():
        yield address
        return
    address = "198.51.100.7"
    added = subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=False)
    assert added.returncode == 0, "this test needs an address beside loopback, or to be root"
    yield address
    subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


def own_address() -> str:
    """Return this machine's address in its network; empty if it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            return ""
        return probe.getsockname()[0]


def test_port_25_only(tmp_path):
    with arrangement("Port 25 only", tmp_path) as here:
        here.set_up()
        here.follow()

        assert here.answer(STRANGER, ELSEWHERE, ANN) == ("250 2.1.5", "local")
        assert here.answer(STRANGER, ELSEWHERE, REMOTE) == ("550 5.7.1", "relay-denied")
        assert here.answer(STRANGER, ANN, REMOTE) == ("550 5.7.1", "local-sender-spoof")
        assert here.sends(PRINTER, "printer@example.test") == "lan"
        assert here.sends(STRANGER, ANN, login=ANN) == "authenticated"
        for listener in ("submission", "submissions"):
            with pytest.raises(ConnectionRefusedError), here.stack.smtp(listener):
                pass


def test_25_and_587(tmp_path):
    with arrangement("25 and 587", tmp_path) as here:
        here.set_up()
        here.follow()

        assert here.answer(STRANGER, ELSEWHERE, ANN) == ("250 2.1.5", "local")
        assert here.answer(STRANGER, ELSEWHERE, REMOTE) == ("550 5.7.1", "relay-denied")
        assert here.sends(PRINTER, "printer@example.test") == "lan"
        for users in ("submission", "submissions"):
            assert here.sends(STRANGER, ANN, listener=users, login=ANN) == "authenticated"
        refused = here.answer(STRANGER, BOSS, REMOTE, listener="submissions", login=ANN)
        assert refused == ("553 5.7.1", "not-your-address")
        refused = here.answer(PRINTER, "printer@example.test", ANN, listener="submissions")
        assert refused == ("530 5.7.0", "auth-required")

        here.follow()

        refused = here.answer(PRINTER, "printer@example.test", REMOTE)
        assert refused == ("530 5.7.0", "auth-required-to-relay")
        assert here.answer(PRINTER, "printer@example.test", ANN) == ("250 2.1.5", "local")


def test_a_relay_for_the_lan(tmp_path):
    with arrangement("LAN relay", tmp_path) as here:
        here.set_up()
        here.follow()
        here.stack.add_user(ANN)

        assert here.sends(PRINTER, "printer@example.test") == "lan"
        assert here.answer(PRINTER, ELSEWHERE, REMOTE) == ("550 5.7.1", "nonlocal-sender")
        assert here.answer(PRINTER, ELSEWHERE, ANN) == ("250 2.1.5", "local")
        with pytest.raises(smtplib.SMTPConnectError) as refusal, here.stack.smtp(client=STRANGER):
            pass
        assert refusal.value.smtp_code == 554


def test_users_who_collect_their_mail_first(tmp_path, hotel):
    with arrangement("POP before SMTP", tmp_path, addresses={"198.51.100.7": hotel}) as here:
        here.set_up()
        here.follow()
        assert here.answer(hotel, ANN, REMOTE) == ("550 5.7.1", "local-sender-spoof")

        collect(here.stack, ANN, source=hotel)

        assert here.sends(hotel, ANN) == "collection-grant"
        assert here.answer(hotel, BOSS, REMOTE) == ("550 5.7.1", "local-sender-spoof")
        assert here.answer(hotel, ELSEWHERE, REMOTE) == ("553 5.7.1", "not-your-address")
        assert here.answer(STRANGER, ANN, REMOTE) == ("550 5.7.1", "local-sender-spoof")
        del here.fences[0]  # the IMAP server's report, which is not needed here
        here.follow()


def test_users_who_have_logged_in_to_an_imap_server(tmp_path, hotel, stack_urls):
    addresses = {"198.51.100.7": hotel}
    with (
        stack_urls("brokered") as urls,
        arrangement("POP before SMTP", tmp_path, urls, addresses) as here,
    ):
        here.set_up()
        here.follow()
        assert here.answer(hotel, ANN, REMOTE) == ("550 5.7.1", "local-sender-spoof")

        here.follow()
        here.follow()

        assert here.sends(hotel, ANN) == "collection-grant"
        assert here.answer(STRANGER, ANN, REMOTE) == ("550 5.7.1", "local-sender-spoof")

        here.stack.call("auth", f"/v1/users/{ANN}", {"disabled": True}, "PATCH")

        spoof = ("550 5.7.1", "local-sender-spoof")
        wait_until(lambda: here.answer(hotel, ANN, REMOTE) == spoof, "the grant ends", within=2)


def test_a_backup_mx(tmp_path):
    with arrangement("Backup MX", tmp_path) as here:
        here.set_up()
        here.follow()

        assert here.answer(STRANGER, ELSEWHERE, REMOTE) == ("550 5.7.1", "relay-denied")
        assert here.answer(STRANGER, ELSEWHERE, "b@sub.partner.test")[1] == "relay-denied"
        with here.stack.smtp(client=STRANGER) as session:
            send(session, ELSEWHERE, ["boss@partner.test"], MESSAGE)
        (mail,) = wait_until(lambda: here.sink.to("boss@partner.test"), "the primary has the mail")
        assert b"(rule always-relay-recipient)" in mail.content


def test_a_smart_host(tmp_path):
    smart = Sink(free_port(), users={"us": PASSWORD}).start()
    addresses = {
        "smarthost.example.net:587": f"127.0.0.1:{smart.port}",
        "--tls verified": "--tls opportunistic",  # this one is on the same machine, without TLS
        "verified ": "opportunistic ",
    }
    try:
        with arrangement("Smart host", tmp_path, addresses=addresses) as here:
            here.stack.add_user(ANN)
            here.set_up()
            here.follow()

            with here.stack.smtp("submission", login=ANN) as session:
                send(session, ANN, [REMOTE, "boss@partner.test"], MESSAGE)
            wait_until(lambda: smart.to(REMOTE), "the smart host has the mail")
            wait_until(lambda: here.sink.to("boss@partner.test"), "the partner has the mail")
            assert smart.logins == ["us"]
            assert here.sink.to(REMOTE) == smart.to("boss@partner.test") == []

            here.stack.call("auth", "/v1/routes/%2A", {"password": "wrong"}, "PATCH")
            with here.stack.smtp("submission", login=ANN) as session:
                mail = send(session, ANN, ["z@remote.test"], MESSAGE)
            (row,) = wait_until(lambda: waiting_for(here.stack, mail), "it waits for the password")
            assert "refuses our login" in row["why"]

            here.stack.call("auth", "/v1/routes/%2A", {"password": PASSWORD}, "PATCH")
            here.follow()
            wait_until(lambda: smart.to("z@remote.test"), "it went at once")
    finally:
        smart.stop()


def waiting_for(stack: Stack, mail: str) -> list[dict]:
    return [row for row in stack.waiting() if row["mail"] == mail]


class _Pop3(poplib.POP3):
    """A POP3 session from an address of one's choice."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__("127.0.0.1", port, timeout=20)

    def _create_socket(self, timeout):
        place = (self.host, self.port)
        return socket.create_connection(place, timeout, source_address=(self._source, 0))


def collect(stack: Stack, login: str, source: str) -> None:
    """Log in over POP3 from ``source`` under TLS, and take leave."""
    session = _Pop3(stack.ports["pop3"], source)
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    session.stls(unchecked)
    session.user(login)
    session.pass_(PASSWORD)
    session.quit()
