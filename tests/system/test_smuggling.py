"""Nobody smuggles a second mail past us, whatever he calls an end of data.

The next hop is a Postfix that still takes a bare LF for a line end, as most servers did until
the end of 2023: whatever we passed on as it came would be two mails there.
"""

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from uuid import uuid4

import pytest

from tests.support import postfix
from tests.support.stack import make_stack, queued_id, send, wait_until

ANN, EVE, MALLORY = "ann@ours.test", "eve@stranger.test", "mallory@stranger.test"
BOB, VICTIM = "bob@remote.test", "victim@remote.test"

GULLIBLE = "smtpd_forbid_bare_newline = no\nsmtpd_forbid_unauth_pipelining = no\n"
"""What Postfix 3.9 turns on by itself."""

FALSE_ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
    b"\n..\n",
)
"""What stands for CRLF.CRLF in somebody's eyes, or does once somebody has touched it."""
CHUNKED_ENDS = (*FALSE_ENDS, b"\r\n.\r\n")
"""In a chunk (RFC 3030) nothing is an end of data, not even what is one elsewhere."""

CUTS = [(end, cut) for end in CHUNKED_ENDS for cut in range(len(end) + 1)]


@pytest.fixture(scope="module")
def remote():
    with postfix.private(postfix.keeping("remote.test") + GULLIBLE) as server:
        yield server


@pytest.fixture(scope="module")
def stack(kind, remote, tmp_path_factory, stack_urls):
    """A stack whose world is that Postfix."""
    routes = json.dumps({"*": f"127.0.0.1:{remote.port}"})
    folder = tmp_path_factory.mktemp("smuggling")
    with stack_urls(kind) as urls, make_stack(kind, folder, urls, routes=routes).running() as stack:
        stack.add_user(ANN)
        yield stack


@pytest.fixture(scope="module", params=["refuse", "normalise"])
def bare_line_ends(stack, request):
    """What the listener does with a CR or LF that stands alone."""
    body = {"bare_line_ends": request.param}
    assert stack.call("auth", "/v1/listeners/mx", body, "PATCH")[0] == 200
    wanted = {"refuse": b"554", "normalise": b"250"}[request.param]

    def is_in_force():
        with talk(stack.ports["mx"]) as client:
            client.mail(ANN, BOB)
            return client.data(b"a\nb\r\n").startswith(wanted)

    wait_until(is_in_force, "the listener has heard of it")
    return request.param


@dataclass
class Client:
    """Says exactly what it is told to, in pieces of so many octets."""

    wire: socket.socket
    answers: BinaryIO

    def reply(self) -> bytes:
        while (line := self.answers.readline())[3:4] == b"-":
            pass
        return line

    def ask(self, line: str) -> bytes:
        self.wire.sendall(f"{line}\r\n".encode())
        return self.reply()

    def mail(self, sender: str, recipient: str) -> None:
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"):
            assert self.ask(line).startswith(b"250")

    def data(self, content: bytes, piece: int = 65_536) -> bytes:
        assert self.ask("DATA").startswith(b"354")
        self.send(content + b"\r\n.\r\n", piece)
        return self.reply()

    def chunks(self, *chunks: bytes) -> bytes:
        """Send ``chunks``, and return the last one's answer."""
        for chunk in chunks:
            self.send(b"BDAT %d\r\n%b" % (len(chunk), chunk), 65_536)
        self.send(b"BDAT 0 LAST\r\n", 65_536)
        return [self.reply() for _ in range(len(chunks) + 1)][-1]

    def send(self, octets: bytes, piece: int) -> None:
        for at in range(0, len(octets), piece):
            self.wire.sendall(octets[at : at + piece])


@contextmanager
def talk(port):
    address = ("127.0.0.1", port)
    with socket.create_connection(address, timeout=20) as wire, wire.makefile("rb") as answers:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(wire, answers)
        assert client.reply().startswith(b"220")
        assert client.ask("EHLO client.test").startswith(b"250")
        yield client


def contraband(mark, false_end, sender=EVE):
    """Return a mail that is two, for whoever takes ``false_end`` for an end of data."""
    envelope = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{VICTIM}>\r\nDATA\r\n".encode()
    header = b"From: %b\r\nSubject: %b\r\n" % (sender.encode(), mark)
    return b"Subject: %b\r\n\r\nhi%b" % (mark, false_end) + envelope + header + b"\r\nsmuggled"


def new_mark():
    """Return what one mail has in it, and no other."""
    return uuid4().hex.encode()


def check_what_arrives(stack, remote, answers):
    """Exactly what was answered 250 arrives, once, and nothing else does. ``answers`` by mark."""
    taken = {mark: answer for mark, answer in answers.items() if answer.startswith(b"250")}
    for mark, answer in taken.items():
        wait_until_kept(stack, remote, mark, queued_id((250, answer)))
    with stack.smtp() as session:
        later = new_mark()
        mail = send(session, ANN, [BOB], b"Subject: %b\r\n\r\nlater\r\n" % later)
    wait_until_kept(stack, remote, later, mail)
    arrived = {mark: len(arrivals(remote, mark)) for mark in answers}
    assert arrived == {mark: int(mark in taken) for mark in answers}
    assert f"from=<{EVE}>" not in (remote.folder / "mail.log").read_text()


def wait_until_kept(stack, remote, mark, mail):
    wait_until(lambda: stack.stages(mail) == {BOB: "relayed"}, "it is relayed")
    wait_until(lambda: arrivals(remote, mark), "it is kept")


def arrivals(remote, mark):
    return [mail for mail in remote.mailbox("all") if mark in mail]


@pytest.mark.parametrize("false_end", [b"\n.\n", b"\n.\r\n"], ids=repr)
def test_the_next_hop_falls_for_it(remote, false_end):
    mark = new_mark()
    with talk(remote.port) as client:
        client.mail(ANN, BOB)
        client.data(contraband(mark, false_end, MALLORY))
        wait_until(lambda: len(arrivals(remote, mark)) == 2, "there are two mails")


@pytest.mark.parametrize("piece", [65_536, 1], ids=["at once", "octet by octet"])
def test_nothing_is_smuggled_by_data(stack, remote, bare_line_ends, piece):
    answers = {}
    for false_end in FALSE_ENDS:
        mark = new_mark()
        with talk(stack.ports["mx"]) as client:
            client.mail(ANN, BOB)
            answers[mark] = client.data(contraband(mark, false_end), piece)
            assert client.ask("NOOP") == b"250 2.0.0 OK\r\n"
        check_answer(answers[mark], false_end, bare_line_ends)

    check_what_arrives(stack, remote, answers)


def test_nothing_is_smuggled_in_chunks_wherever_they_are_cut(stack, remote, bare_line_ends):
    answers = {}
    for false_end, cut in CUTS:
        mark = new_mark()
        before, after = contraband(mark, false_end).split(false_end, 1)
        with talk(stack.ports["mx"]) as client:
            client.mail(ANN, BOB)
            answers[mark] = client.chunks(before + false_end[:cut], false_end[cut:] + after)
            assert client.ask("NOOP") == b"250 2.0.0 OK\r\n"
        if answers[mark][:3] != b"503":  # the chunk before was refused, and the mail with it
            check_answer(answers[mark], false_end, bare_line_ends)

    check_what_arrives(stack, remote, answers)


def check_answer(answer, false_end, bare_line_ends):
    """A mail in which a CR or LF stands alone is refused, or else mended; any other is taken."""
    taken = bare_line_ends == "normalise" or not stands_alone(false_end)
    assert answer.startswith(b"250" if taken else b"554 5.6.0"), (false_end, answer)


def stands_alone(octets):
    """Whether a CR or LF of ``octets`` does."""
    rest = octets.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest
