"""The client's side of an SMTP connection, without the socket (RFC 5321).

Octets of the server go in, octets for it come out, and ``phase`` says what is
awaited now. Whatever the server answers, or does not answer, ends in a `Reply`
for every recipient; what we do not understand counts as "perhaps later".

The dialogue is written down as generators, which yield the phase and are sent
the reply: they read like the protocol.
"""

import re
from collections.abc import Generator
from enum import StrEnum
from typing import NoReturn

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.reply import Reply
from kernel.smtp_reply import NotSmtpError, ReplyReader
from kernel.stuffing import Stuffer, stuffed
from services.delivery.core.login import (
    NO_LOGIN,
    NOT_PROVEN,
    BadChallengeError,
    Credentials,
    Login,
    choose,
)
from services.delivery.core.mailing import (
    TOO_MANY,
    Mailing,
    Transfer,
    chunk,
    mail_command,
    most_mails,
    obstacle,
    rcpt_command,
    recipients_at_a_time,
    refused_recipient,
    transfer,
    unreachable,
)
from services.delivery.core.settle import NO_ANSWER

NOT_SMTP = Reply(451, "4.5.0", "The server's answer was not SMTP")
NO_BDAT = Reply(451, "4.5.1", "The server offers CHUNKING and does not know BDAT")

_GREETING = 220
_LOGGED_IN = 235
_CHALLENGE = 334
_GO_AHEAD = 354
_UNKNOWN = frozenset({500, 502, 504})  # RFC 5321 §4.2.4
_OUT_OF_ORDER = 503
_WANTS_MORE = frozenset({530, 534, 535, 538})  # a login, or TLS (RFC 4954 §6, RFC 3207 §4)
_CLOSING = 421  # may answer any command (RFC 5321 §3.8)


class Phase(StrEnum):
    """What the connection waits for."""

    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"  # the caller makes it TLS, then calls `secured`
    AUTH = "auth"
    IDLE = "idle"  # the caller may `begin`
    RESET = "reset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # the caller streams it, piece by piece
    DOT = "dot"
    CLOSED = "closed"


Script = Generator[Phase, Reply, None]
_UNSOLICITED = frozenset({Phase.IDLE, Phase.HANDSHAKE})
_BEFORE_CONTENT = frozenset({Phase.MAIL, Phase.RCPT})


class _OverError(Exception):
    """The dialogue cannot go on."""

    def __init__(self, reason: Reply) -> None:
        super().__init__(str(reason))
        self.reason = reason


class SmtpClient:
    """One connection. ``replies`` tells of the latest mailing, once IDLE or CLOSED.

    ``failure`` is why the connection is closed, if not by us. ``secure`` says whether it is
    under TLS. ``committed`` turns true when a content has gone out to its end, or its refusal
    has come in: from there on a repetition may double the message, or annoy the server.
    ``heard`` counts answers. ``refuses_login`` and ``refuses_bdat`` tell of a server that does
    not do what we, or it, said it would. Without ``login_in_the_clear`` there is no login where
    there is no TLS: the caller, who wants TLS, will not go on there.
    """

    def __init__(
        self,
        our_name: str,
        *,
        use_tls: bool = False,
        implicit_tls: bool = False,
        credentials: Credentials | None = None,
        login_in_the_clear: bool = True,
        chunking: bool = True,
    ) -> None:
        self.phase = Phase.IDLE
        self.offers: dict[str, str] = {}
        self.replies: dict[Address, Reply] = {}
        self.failure: Reply | None = None
        self.secure = False
        self.committed = False
        self.refuses_login = False
        self.refuses_bdat = False
        self.mailings = 0
        self.heard = 0
        self._our_name = our_name
        self._chunking = chunking
        self._login_in_the_clear = login_in_the_clear
        self._reader = ReplyReader()
        self._everyone: tuple[Address, ...] = ()
        self._group: tuple[Recipient, ...] = ()
        self._stuffer: Stuffer | None = None
        self._chunks_out = 0
        self._transactions = 0
        self._most_mails: int | None = None
        self._most_recipients = recipients_at_a_time({})
        self._transaction_open = False
        self._was_committed = False
        self._out = b""
        self._follow(self._opening(credentials, use_tls=use_tls, implicit_tls=implicit_tls))

    @property
    def is_spent(self) -> bool:
        """Whether the server has taken as many mails as it wants on one connection (RFC 9422)."""
        return self._most_mails is not None and self._transactions >= self._most_mails

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
            self.secure = True
            self._advance()
        else:
            self.lose(NOT_SMTP)  # said before TLS, so perhaps by somebody else
        return self._take()

    def begin(self, mailing: Mailing) -> bytes:
        """Start on ``mailing``; return octets for the server: none if it has gone meanwhile."""
        self.mailings += 1
        self.committed = False
        everyone = {r.address: r for r in mailing.envelope.recipients}
        self._everyone = tuple(everyone)
        if self.phase is Phase.CLOSED:
            self.failure = self.failure or NO_ANSWER
            self.replies = dict.fromkeys(everyone, self.failure)
            return b""
        refusal = obstacle(mailing, self.offers)
        if refusal is not None:
            self.replies = dict.fromkeys(everyone, refusal)
            return b""
        self.replies = unreachable(mailing, self.offers)
        recipients = [r for address, r in everyone.items() if address not in self.replies]
        if recipients:
            self._follow(self._mailing(mailing, recipients))
        return self._take()

    def piece(self, octets: bytes) -> bytes:
        """Return a piece of a streamed content as it goes on the wire."""
        if self._stuffer is not None:
            return self._stuffer.feed(octets)
        self._chunks_out += 1
        return chunk(octets)

    def last_piece(self, octets: bytes) -> bytes:
        """Return the last piece and the end of the content; go on from there."""
        if self._stuffer is not None:
            wire = self._stuffer.feed(octets) + self._stuffer.end()
        else:
            wire = chunk(octets, last=True)
        self._advance()
        return wire

    def quit(self) -> bytes:
        """End it; return octets for the server. What it answers to QUIT matters to nobody."""
        if self.phase is Phase.IDLE:
            self.phase = Phase.CLOSED
            return b"QUIT\r\n"
        self.lose()
        return b""

    def lose(self, reason: Reply = NO_ANSWER) -> None:
        """End the connection: whoever has no answer yet gets ``reason``."""
        if self.phase is Phase.CLOSED:
            return
        self._answer_everyone(reason)
        self.failure = reason
        self.phase = Phase.CLOSED
        self._out = b""

    def _hear(self, reply: Reply) -> None:
        self.heard += 1
        if self.phase is Phase.CLOSED:
            return
        if reply.code == _CLOSING:
            if self.phase in _BEFORE_CONTENT:  # it has not come to what may be behind
                self.committed = self._was_committed
            self.lose(reply)
        elif self._out or self.phase in _UNSOLICITED:  # it cannot have heard us yet
            self.lose(NOT_SMTP)
        elif self.phase is Phase.CONTENT:
            self._hear_early(reply)
        else:
            self._advance(reply)

    def _hear_early(self, reply: Reply) -> None:
        """Go on while chunks are taken; else it will not hear the message to its end."""
        try:
            if self._chunks_out and self._takes_chunk(reply):
                return
            self._answer_group(_in_step(reply, positive=False))
        except _OverError as over:
            self.lose(over.reason)
        else:
            self.committed = True
            self.lose(reply)
            self.failure = None  # it is the message that it does not take

    def _takes_chunk(self, reply: Reply) -> bool:
        """Return whether a chunk was taken; end it with a server that does not know chunks."""
        self._chunks_out -= 1
        if reply.code in _UNKNOWN or reply.code == _OUT_OF_ORDER:
            self._give_up_chunks()
        return _is_ok(reply)

    def _give_up_chunks(self) -> NoReturn:
        """End it: to a server that does not know BDAT, the content was commands."""
        self.refuses_bdat = True
        raise _OverError(NO_BDAT)

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

    def _answer_everyone(self, reply: Reply) -> None:
        for address in self._everyone:
            self.replies.setdefault(address, reply)

    def _answer_group(self, reply: Reply) -> None:
        for recipient in self._group:
            self.replies.setdefault(recipient.address, reply)

    def _opening(
        self, credentials: Credentials | None, *, use_tls: bool, implicit_tls: bool
    ) -> Script:
        if implicit_tls:  # RFC 8314 §3
            yield Phase.HANDSHAKE
        greeting = yield Phase.GREETING
        if greeting.code != _GREETING:
            raise _OverError(_in_step(greeting, positive=False))
        yield from self._hello()
        if not self.secure and use_tls and "STARTTLS" in self.offers:
            yield from self._start_tls()
        if not self.secure:
            self.offers.pop("REQUIRETLS", None)  # in the clear it means nothing (RFC 8689 §3)
        if credentials is not None and (self.secure or self._login_in_the_clear):
            yield from self._log_in(credentials)

    def _hello(self) -> Script:
        self._say(f"EHLO {self._our_name}\r\n".encode())
        answer = yield Phase.HELLO
        if _is_ok(answer):
            self.offers = _offers(answer)
            self._most_mails = most_mails(self.offers)
            self._most_recipients = recipients_at_a_time(self.offers)
            if not self._chunking:
                self.offers.pop("CHUNKING", None)
            return
        self.offers = {}
        if answer.is_permanent:  # RFC 5321 §3.2
            self._say(f"HELO {self._our_name}\r\n".encode())
            answer = yield Phase.HELLO
        if not _is_ok(answer):
            raise _OverError(_in_step(answer, positive=False))

    def _start_tls(self) -> Script:
        self._say(b"STARTTLS\r\n")
        answer = yield Phase.STARTTLS
        if answer.code == _GREETING:
            yield Phase.HANDSHAKE
            yield from self._hello()  # what was said before does not count (RFC 3207 §4.2)

    def _log_in(self, credentials: Credentials) -> Script:
        """Log in (RFC 4954). Where that fails our mail waits: it is not the mail's fault."""
        self.refuses_login = True
        mechanism = choose(credentials, self.offers.get("AUTH", ""), secure=self.secure)
        if mechanism is None:
            raise _OverError(NO_LOGIN)
        login = Login(credentials, mechanism)
        self._say(login.begin() + b"\r\n")
        answer = yield Phase.AUTH
        try:
            while answer.code == _CHALLENGE:
                self._say(login.respond(answer.text) + b"\r\n")
                answer = yield Phase.AUTH
            if answer.code != _LOGGED_IN:
                raise _OverError(login.refusal(_in_step(answer, positive=False)))
            login.granted()
        except BadChallengeError:
            raise _OverError(NOT_PROVEN) from None
        self.refuses_login = False

    def _mailing(self, mailing: Mailing, recipients: list[Recipient]) -> Script:
        """Tell ``recipients`` in as many transactions as it takes (RFC 5321 §4.5.3.1.8)."""
        most = self._most_recipients
        while recipients and not self.is_spent:
            self._group, recipients = tuple(recipients[:most]), recipients[most:]
            yield from self._transaction(mailing)
            recipients = self._surplus() + recipients
        self._answer_everyone(TOO_MANY)

    def _surplus(self) -> list[Recipient]:
        """Take back those who were too many for a transaction that went well for others."""
        replies = self.replies
        surplus = [r for r in self._group if replies[r.address].status == TOO_MANY.status]
        if not surplus or not any(replies[r.address].is_positive for r in self._group):
            return []
        for recipient in surplus:
            del replies[recipient.address]
        return surplus

    def _transaction(self, mailing: Mailing) -> Script:
        if self._transaction_open:
            self._say(b"RSET\r\n")
            _refusal((yield Phase.RESET))
        self._transaction_open = True
        self._transactions += 1
        self._was_committed = self.committed
        match transfer(mailing, self.offers), mailing.octets:
            case Transfer.BDAT, bytes(octets):
                yield from self._by_bdat(mailing, octets)
            case Transfer.CHUNKS, _:
                if (yield from self._envelope(mailing, b"")):
                    yield from self._stream(None)
            case _:
                yield from self._by_data(mailing)

    def _by_bdat(self, mailing: Mailing, octets: bytes) -> Script:
        """Send the content in one chunk, with the envelope where that may be (RFC 3030 §4.2)."""
        content = chunk(octets, last=True)
        together = "PIPELINING" in self.offers
        self.committed |= together
        somebody = yield from self._envelope(mailing, content)
        if not somebody:
            self.committed = self._was_committed
            if together and _in_step((yield Phase.DOT), positive=True).code in _UNKNOWN:
                self._give_up_chunks()
            return
        self.committed = True
        if not together:
            self._say(content)
        self._end((yield Phase.DOT), by_bdat=True)

    def _by_data(self, mailing: Mailing) -> Script:
        together = "PIPELINING" in self.offers
        somebody = yield from self._envelope(mailing, b"DATA\r\n")
        if not together:
            if not somebody:
                return
            self._say(b"DATA\r\n")
        answer = yield Phase.DATA
        if answer.code != _GO_AHEAD:
            self._answer_group(_in_step(answer, positive=False))
        elif not somebody:  # a server may go ahead for nobody (RFC 2920 §3.1)
            yield from self._content(b"")
        elif mailing.octets is None:
            yield from self._stream(Stuffer())
        else:
            self.committed = True
            yield from self._content(mailing.octets)

    def _envelope(self, mailing: Mailing, behind: bytes) -> Generator[Phase, Reply, bool]:
        """Return whether the server takes the content, for somebody at least.

        Where commands may go together, those ``behind`` go with these (RFC 2920 §3.1).
        """
        mail = mail_command(mailing, self.offers)
        rcpts = [rcpt_command(recipient, self.offers) for recipient in self._group]
        together = "PIPELINING" in self.offers
        self._say(b"".join([mail, *rcpts, behind]) if together else mail)
        no_mail = _refusal((yield Phase.MAIL))
        if no_mail is not None:
            self._answer_group(_refused_mail(no_mail))
            if not together:
                return False
        somebody = False
        for recipient, rcpt in zip(self._group, rcpts, strict=True):
            if not together:
                self._say(rcpt)
            refused = _refusal((yield Phase.RCPT))
            if refused is not None:
                reply = refused_recipient(refused, others=somebody)
                self.replies.setdefault(recipient.address, reply)
            somebody |= not (no_mail or refused)
        return somebody

    def _stream(self, stuffer: Stuffer | None) -> Script:
        """Let the caller send the content; without ``stuffer``, in chunks."""
        self._stuffer = stuffer
        self._chunks_out = 0
        yield Phase.CONTENT
        self.committed = True
        while self._chunks_out:
            answer = yield Phase.DOT
            if not self._takes_chunk(_in_step(answer, positive=True)):
                raise _OverError(answer)
        self._end((yield Phase.DOT), by_bdat=stuffer is None)

    def _content(self, octets: bytes) -> Script:
        self._say(stuffed(octets))
        self._end((yield Phase.DOT), by_bdat=False)

    def _end(self, answer: Reply, *, by_bdat: bool) -> None:
        """Take the last word on a content. A refused chunk wants RSET (RFC 3030 §2)."""
        taken = self._takes_chunk(answer) if by_bdat else True
        self._answer_group(_in_step(answer, positive=True))
        self._transaction_open = not taken


def _is_ok(reply: Reply) -> bool:
    return 200 <= reply.code < 300  # noqa: PLR2004 - RFC 5321 §4.2.1


def _in_step(reply: Reply, *, positive: bool) -> Reply:
    """Return ``reply`` if it can be an answer to what was said, or end the dialogue."""
    if reply.is_positive and not (positive and _is_ok(reply)):
        raise _OverError(NOT_SMTP)
    return reply


def _refusal(reply: Reply) -> Reply | None:
    return None if _is_ok(_in_step(reply, positive=True)) else reply


def _refused_mail(reply: Reply) -> Reply:
    """Return what a refusal of MAIL means: a login that is missing is not the mail's fault."""
    if reply.code in _WANTS_MORE:
        return Reply(454, "4.7.0", f"The server wants more of us than the mail: {reply}")
    return reply


def _offers(answer: Reply) -> dict[str, str]:
    """Return the extensions of an answer to EHLO (RFC 5321 §4.1.1.1), its first line apart.

    Old servers say ``AUTH=PLAIN`` for ``AUTH PLAIN``.
    """
    lines = (re.sub(r"(?i)^AUTH=", "AUTH ", line) for line in answer.text.split("\n")[1:])
    offers: dict[str, str] = {}
    for line in lines:
        keyword, _, parameters = line.partition(" ")
        known = offers.get(keyword.upper(), "")
        offers[keyword.upper()] = f"{known} {parameters.strip()}".strip()
    return offers
