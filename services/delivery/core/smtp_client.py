"""The client's side of an SMTP connection, without the socket (RFC 5321).

Octets of the server go in, octets for it come out, and ``phase`` says what is
awaited now. Whatever the server answers, or does not answer, ends in a `Reply`
for every recipient; what we do not understand counts as "perhaps later".

The dialogue is written down as generators, which yield the phase and are sent
the reply: they read like the protocol.
"""

from collections.abc import Generator
from enum import StrEnum

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.reply import Reply
from services.delivery.core.mailing import (
    Mailing,
    mail_command,
    obstacle,
    rcpt_command,
    stuffed,
    unreachable,
)
from services.delivery.core.settle import NO_ANSWER
from services.delivery.core.smtp_reply import NotSmtpError, ReplyReader

NOT_SMTP = Reply(451, "4.5.0", "The server's answer was not SMTP")

_GREETING = 220
_GO_AHEAD = 354
_CLOSING = 421  # may answer any command (RFC 5321 §3.8)


class Phase(StrEnum):
    """What the connection waits for."""

    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"  # the caller makes it TLS, then calls `secured`
    IDLE = "idle"  # the caller may `begin`
    RESET = "reset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # the caller streams it, then calls `content_sent`
    DOT = "dot"
    CLOSED = "closed"


Script = Generator[Phase, Reply, None]
_UNSOLICITED = (Phase.IDLE, Phase.HANDSHAKE)


class _OverError(Exception):
    """The dialogue cannot go on."""

    def __init__(self, reason: Reply) -> None:
        super().__init__(str(reason))
        self.reason = reason


class SmtpClient:
    """One connection. ``replies`` tells of the latest mailing, once IDLE or CLOSED.

    ``failure`` is why the connection is closed. ``committed`` turns true with the
    final dot: from there on a repetition may double the message.
    """

    def __init__(self, our_name: str, *, use_tls: bool = False) -> None:
        self.phase = Phase.IDLE
        self.offers: dict[str, str] = {}
        self.replies: dict[Address, Reply] = {}
        self.failure: Reply | None = None
        self.committed = False
        self.mailings = 0
        self._our_name = our_name
        self._reader = ReplyReader()
        self._told: tuple[Address, ...] = ()
        self._out = b""
        self._transaction_open = False
        self._follow(self._opening(use_tls=use_tls))

    def receive(self, data: bytes) -> bytes:
        """Take octets from the server; return those for it."""
        try:
            for reply in self._reader.feed(data):
                self._hear(reply)
        except NotSmtpError:
            self.lose(NOT_SMTP)
        return self._take()

    def secured(self) -> bytes:
        """Go on after the TLS handshake; return octets for the server."""
        if self._reader.is_empty:
            self._advance()
        else:
            self.lose(NOT_SMTP)  # said before TLS, so perhaps by somebody else
        return self._take()

    def begin(self, mailing: Mailing) -> bytes:
        """Start on ``mailing`` while IDLE; return octets for the server."""
        self.mailings += 1
        self.committed = False
        everyone = {r.address: r for r in mailing.envelope.recipients}
        refusal = obstacle(mailing, self.offers)
        if refusal is not None:
            self.replies = dict.fromkeys(everyone, refusal)
            return b""
        self.replies = unreachable(mailing, self.offers)
        recipients = [r for address, r in everyone.items() if address not in self.replies]
        self._told = tuple(r.address for r in recipients)
        if recipients:
            self._follow(self._transaction(mailing, recipients))
        return self._take()

    def content_sent(self) -> None:
        """Go on after the content was streamed, its end of data included."""
        self._advance()

    def quit(self) -> bytes:
        """End it; return octets for the server. What it answers to QUIT matters to nobody."""
        polite = self.phase is Phase.IDLE
        self.lose()
        return b"QUIT\r\n" if polite else b""

    def lose(self, reason: Reply = NO_ANSWER) -> None:
        """End the connection: whoever has no answer yet gets ``reason``."""
        if self.phase is Phase.CLOSED:
            return
        self._answer_rest(reason)
        self.failure = reason
        self.phase = Phase.CLOSED
        self._out = b""

    def _hear(self, reply: Reply) -> None:
        if self.phase is Phase.CLOSED:
            return
        if reply.code == _CLOSING:
            self.lose(reply)
        elif self.phase is Phase.CONTENT:  # it will not hear the message to its end
            self.lose(NOT_SMTP if reply.is_positive else reply)
        elif self.phase in _UNSOLICITED:
            self.lose(NOT_SMTP)
        else:
            self._advance(reply)

    def _follow(self, script: Script) -> None:
        self._script = script
        self._advance()

    def _advance(self, reply: Reply | None = None) -> None:
        try:
            self.phase = next(self._script) if reply is None else self._script.send(reply)
        except StopIteration:
            self.phase = Phase.IDLE
        except _OverError as over:
            self.lose(over.reason)

    def _take(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def _say(self, octets: bytes) -> None:
        self._out += octets

    def _answer_rest(self, reply: Reply) -> None:
        for address in self._told:
            self.replies.setdefault(address, reply)

    def _opening(self, *, use_tls: bool) -> Script:
        greeting = yield Phase.GREETING
        if greeting.code != _GREETING:
            raise _OverError(_in_step(greeting, positive=False))
        yield from self._hello()
        self.offers.pop("REQUIRETLS", None)  # in the clear it means nothing (RFC 8689 §3)
        if use_tls and "STARTTLS" in self.offers:
            self._say(b"STARTTLS\r\n")
            answer = yield Phase.STARTTLS
            if answer.code == _GREETING:
                yield Phase.HANDSHAKE
                yield from self._hello()  # what was said before does not count (RFC 3207 §4.2)

    def _hello(self) -> Script:
        self._say(f"EHLO {self._our_name}\r\n".encode())
        answer = yield Phase.HELLO
        if _is_ok(answer):
            self.offers = _offers(answer)
            return
        self.offers = {}
        if answer.is_permanent:  # RFC 5321 §3.2
            self._say(f"HELO {self._our_name}\r\n".encode())
            answer = yield Phase.HELLO
        if not _is_ok(answer):
            raise _OverError(_in_step(answer, positive=False))

    def _transaction(self, mailing: Mailing, recipients: list[Recipient]) -> Script:
        if self._transaction_open:
            self._say(b"RSET\r\n")
            _refusal((yield Phase.RESET))
        self._transaction_open = True
        wanted = yield from self._envelope(mailing, recipients)
        if wanted:
            yield from self._content(mailing.octets)

    def _envelope(
        self, mailing: Mailing, recipients: list[Recipient]
    ) -> Generator[Phase, Reply, bool]:
        """Return whether the server takes the content, for somebody at least."""
        mail = mail_command(mailing, self.offers)
        rcpts = [rcpt_command(r, self.offers) for r in recipients]
        together = "PIPELINING" in self.offers  # RFC 2920 §3.1
        self._say(b"".join([mail, *rcpts, b"DATA\r\n"]) if together else mail)
        no_mail = _refusal((yield Phase.MAIL))
        if no_mail and not together:
            self._answer_rest(no_mail)
            return False
        for recipient, rcpt in zip(recipients, rcpts, strict=True):
            if not together:
                self._say(rcpt)
            refused = _refusal((yield Phase.RCPT))
            if no_mail or refused:
                self.replies[recipient.address] = no_mail or refused or NOT_SMTP
        return (yield from self._data(together=together))

    def _data(self, *, together: bool) -> Generator[Phase, Reply, bool]:
        somebody = not all(address in self.replies for address in self._told)
        if not together:
            if not somebody:
                return False
            self._say(b"DATA\r\n")
        answer = yield Phase.DATA
        if answer.code != _GO_AHEAD:
            self._answer_rest(_in_step(answer, positive=False))
            return False
        if not somebody:  # a server may go ahead for nobody (RFC 2920 §3.1)
            yield from self._content(b"")
        return somebody

    def _content(self, octets: bytes | None) -> Script:
        if octets is None:
            yield Phase.CONTENT
        else:
            self._say(stuffed(octets))
        self.committed = True
        answer = yield Phase.DOT
        self._answer_rest(_in_step(answer, positive=True))
        self._transaction_open = False


def _is_ok(reply: Reply) -> bool:
    return 200 <= reply.code < 300  # noqa: PLR2004 - RFC 5321 §4.2.1


def _in_step(reply: Reply, *, positive: bool) -> Reply:
    """Return ``reply`` if it can be an answer to what was said, or end the dialogue."""
    if reply.is_positive and not (positive and _is_ok(reply)):
        raise _OverError(NOT_SMTP)
    return reply


def _refusal(reply: Reply) -> Reply | None:
    return None if _is_ok(_in_step(reply, positive=True)) else reply


def _offers(answer: Reply) -> dict[str, str]:
    """Return the extensions of an answer to EHLO (RFC 5321 §4.1.1.1), its first line apart."""
    keywords = (line.partition(" ") for line in answer.text.split("\n")[1:])
    return {keyword.upper(): parameters.strip() for keyword, _, parameters in keywords}
