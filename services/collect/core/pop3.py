"""Session: one client's conversation, without its socket (RFC 1939, 2449).

Octets go in and effects come out. After `Login`, `Claim`, `StartTls`, `Fetch` and `Update` the
session waits for the answer, and reads on once it is given. Nothing here waits, looks at a
clock or touches a network. However the octets are cut, the same is said.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from kernel.model.questions import LoginAnswer
from kernel.sasl import MAX_LINE
from services.collect.core import replies
from services.collect.core.doorway import Doorway
from services.collect.core.effects import Effect
from services.collect.core.maildrop import Maildrop, Message
from services.collect.core.speech import ENOUGH
from services.collect.core.transaction import Transaction

MAX_COMMAND = 253
"""RFC 2449 §4, without the CRLF."""
_MAX_COMMANDS = {"AUTH": MAX_LINE, "USER": 2_100, "PASS": 4_200}
"""Names and passwords may be longer, in UTF-8, than that would let them."""


class Obstacle(StrEnum):
    """Why a mailbox or a message cannot be had."""

    IN_USE = "in use"
    UNAVAILABLE = "unavailable"
    MISSING = "missing"


class Session(Transaction):
    """The state of one conversation."""

    def __init__(self, doorway: Doorway, client: str, *, secured: bool) -> None:
        super().__init__(doorway, client, secured=secured)
        self._commands = _AUTHORIZATION

    @property
    def is_logged_in(self) -> bool:
        """Whether the client has its maildrop: the TRANSACTION state."""
        return self._commands is _TRANSACTION

    def greet(self) -> list[Effect]:
        """Begin (RFC 1939 §4)."""
        self._say(replies.GREETING)
        return self._flush()

    def receive(self, octets: bytes) -> list[Effect]:
        """Take in what the client sent."""
        self._lines.feed(octets)
        return self._proceed()

    def said(self) -> list[Effect]:
        """Answer `Say`: there is room for more."""
        return self._proceed()

    def logged_in(self, answer: LoginAnswer | None) -> list[Effect]:
        """Answer `Login`; None if nobody could tell."""
        self.is_waiting = False
        self._answered(answer)
        return self._proceed()

    def claimed(self, found: Sequence[Message] | Obstacle) -> list[Effect]:
        """Answer `Claim`: what is in the mailbox, or why it cannot be had."""
        self.is_waiting = False
        if not isinstance(found, Obstacle):
            self._commands = _TRANSACTION
            self._maildrop = Maildrop(found)
            self._say(f"+OK {self._summary()}")
        elif found is Obstacle.IN_USE:
            self._complain(replies.IN_USE)
        else:
            self._say(replies.TRY_LATER)
        return self._proceed()

    def secured(self, binding: bytes) -> list[Effect]:
        """Answer `StartTls`: what SASL may bind to from now on."""
        self.is_waiting = False
        self._secure(binding)
        return self._proceed()

    def fetched(self, octets: bytes) -> list[Effect]:
        """Answer `Fetch` with the next part of the message."""
        self._pour(octets)
        return self._flush()

    @property
    def has_fetched_enough(self) -> bool:
        """Whether the client wants nothing more of the message."""
        return self._transcript.is_full

    def fetched_all(self) -> list[Effect]:
        """Answer `Fetch`: that was the whole message, or enough of it."""
        self._end_message()
        return self._proceed()

    def not_fetched(self, why: Obstacle) -> list[Effect]:
        """Answer `Fetch`: the message could not be read, or not to its end."""
        self.is_waiting = False
        if self._is_begun:
            self._hang_up()  # half a message must not look like a whole one
        elif why is Obstacle.MISSING:
            self._say(replies.NO_SUCH_MESSAGE)
        else:
            self._say(replies.TRY_LATER)
        return self._proceed()

    def updated(self, *, everything: bool) -> list[Effect]:
        """Answer `Update`: whether every message is gone that was to go."""
        self.is_waiting = False
        self._hang_up(replies.BYE if everything else replies.NOT_ALL_DELETED)
        return self._flush()

    def _proceed(self) -> list[Effect]:
        while not (self.is_waiting or self.is_closed or self._octets_said >= ENOUGH):
            line = self._lines.next()
            if line is None:
                break
            if self._exchange is not None:
                self._advance(self._exchange, self._exchange.respond(line))
            else:
                self._obey(line)
        return self._flush()

    def _obey(self, line: bytes) -> None:
        try:
            word, _, argument = line.decode().partition(" ")
        except UnicodeDecodeError:
            self._complain(replies.BAD_LINE)
            return
        verb = word.upper()
        if len(line) > _MAX_COMMANDS.get(verb, MAX_COMMAND):
            self._complain(replies.LINE_TOO_LONG)
        elif verb in self._commands:
            self._commands[verb](self, argument if verb == "PASS" else argument.strip(" "))
        elif verb in _AUTHORIZATION or verb in _TRANSACTION:
            self._complain(replies.NOT_NOW)
        else:
            self._complain(replies.UNKNOWN_COMMAND)

    # What goes in both states, or tells of them.

    def on_capa(self, _: str) -> None:
        """CAPA (RFC 2449 §5): what is on offer now."""
        lines = ["TOP", "UIDL", "PIPELINING", "EXPIRE NEVER", "RESP-CODES", "AUTH-RESP-CODE"]
        if not self.is_logged_in:
            lines += ["USER"] if self._takes_passwords else []
            lines += [f"SASL {' '.join(self._mechanisms)}"] if self._mechanisms else []
            lines += [] if self._is_secured else ["STLS"]
        self._say_lines("+OK What there is", [*lines, "IMPLEMENTATION Postroom"])

    def on_quit(self, _: str) -> None:
        """QUIT, before there is a maildrop (RFC 1939 §4)."""
        self._hang_up(replies.BYE)


_Commands = Mapping[str, Callable[[Session, str], None]]

_AUTHORIZATION: _Commands = {
    "CAPA": Session.on_capa,
    "STLS": Session.on_stls,
    "USER": Session.on_user,
    "PASS": Session.on_pass,
    "AUTH": Session.on_auth,
    "QUIT": Session.on_quit,
}
_TRANSACTION: _Commands = {
    "CAPA": Session.on_capa,
    "STAT": Session.on_stat,
    "LIST": Session.on_list,
    "UIDL": Session.on_uidl,
    "RETR": Session.on_retr,
    "TOP": Session.on_top,
    "DELE": Session.on_dele,
    "NOOP": Session.on_noop,
    "RSET": Session.on_rset,
    "QUIT": Session.on_update,
}
