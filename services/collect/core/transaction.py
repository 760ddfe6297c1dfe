"""Transaction: what a client that has its maildrop does with it (RFC 1939 §5, §7).

What is deleted is only marked; `Update` alone removes it, and QUIT alone wants that (§6).
"""

from collections.abc import Callable

from services.collect.core import replies
from services.collect.core.authorization import Authorization
from services.collect.core.doorway import Doorway
from services.collect.core.effects import Fetch, Update
from services.collect.core.maildrop import Maildrop, Message
from services.collect.core.transcript import Transcript

_MAX_DIGITS = 9


class Transaction(Authorization):
    """The commands of the TRANSACTION state, and a message on its way out."""

    def __init__(self, doorway: Doorway, client: str, *, secured: bool) -> None:
        super().__init__(doorway, client, secured=secured)
        self._maildrop = Maildrop(())
        self._size = 0
        self._transcript = Transcript()
        self._is_begun = False
        self.retrieved = 0
        """How many messages the client has got in full."""
        self.octets = 0
        """How many octets of messages it has got."""

    def on_stat(self, argument: str) -> None:
        """STAT."""
        if argument:
            self._complain(replies.BAD_ARGUMENT)
        else:
            self._say(f"+OK {len(self._maildrop)} {self._maildrop.octets}")

    def on_list(self, argument: str) -> None:
        """LIST."""
        self._list(argument, lambda message: str(message.size))

    def on_uidl(self, argument: str) -> None:
        """UIDL."""
        self._list(argument, lambda message: message.unique_id)

    def on_retr(self, argument: str) -> None:
        """RETR."""
        message = self._message(argument)
        if message is not None:
            self._fetch(message, Transcript())

    def on_top(self, argument: str) -> None:
        """TOP."""
        which, _, lines = argument.partition(" ")
        count = _number(lines.lstrip(" "))
        if count is None:
            self._complain(replies.BAD_ARGUMENT)
        elif (message := self._message(which)) is not None:
            self._fetch(message, Transcript(count))

    def on_dele(self, argument: str) -> None:
        """DELE."""
        number = _number(argument)
        if number is None:
            self._complain(replies.BAD_ARGUMENT)
        elif self._maildrop.delete(number):
            self._say(replies.DELETED)
        else:
            self._complain(replies.NO_SUCH_MESSAGE)

    def on_noop(self, _: str) -> None:
        """NOOP."""
        self._say(replies.OK)

    def on_rset(self, _: str) -> None:
        """RSET."""
        self._maildrop.restore()
        self._say(f"+OK {self._summary()}")

    def on_update(self, argument: str) -> None:
        """QUIT, in this state (RFC 1939 §6)."""
        if argument:
            self._complain(replies.BAD_ARGUMENT)
        else:
            self._wait_for(Update(self._maildrop.doomed()))

    def _list(self, argument: str, told: Callable[[Message], str]) -> None:
        if not argument:
            lines = [f"{number} {told(message)}" for number, message in self._maildrop]
            self._say_lines(f"+OK {self._summary()}", lines)
        elif (message := self._message(argument)) is not None:
            self._say(f"+OK {int(argument)} {told(message)}")

    def _message(self, argument: str) -> Message | None:
        """Return the message that ``argument`` names; complain if there is none."""
        number = _number(argument)
        message = None if number is None else self._maildrop.find(number)
        if message is None:
            self._complain(replies.BAD_ARGUMENT if number is None else replies.NO_SUCH_MESSAGE)
        return message

    def _summary(self) -> str:
        return f"{len(self._maildrop)} messages ({self._maildrop.octets} octets)"

    # A message on its way out.

    def _fetch(self, message: Message, transcript: Transcript) -> None:
        self._size, self._transcript, self._is_begun = message.size, transcript, False
        self._wait_for(Fetch(message.key))

    def _pour(self, octets: bytes) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._say(f"+OK {self._size} octets")
        spelt = self._transcript.feed(octets)
        self.octets += len(spelt)
        self._said.append(spelt)

    def _end_message(self) -> None:
        self.is_waiting = False
        self._pour(b"")
        self._said.append(self._transcript.end())
        self.retrieved += not self._transcript.is_partial


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if is_number else None
