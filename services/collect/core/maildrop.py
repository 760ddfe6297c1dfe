"""Maildrop: the messages that were there at login, by number, and which of them are to go."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

_UNIQUE_ID = re.compile(r"[\x21-\x7e]{1,70}")  # RFC 1939 §7, UIDL


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a mailbox. ``key`` names it for good; ``size`` is in octets with CRLF."""

    key: str
    size: int

    @property
    def unique_id(self) -> str:
        """Its key, or what stands for a key that no unique-id may be."""
        if _UNIQUE_ID.fullmatch(self.key):
            return self.key
        return sha256(self.key.encode("utf-8", "surrogateescape")).hexdigest()


class Maildrop:
    """The messages of one session. Numbers count from one and never change (RFC 1939 §5)."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = tuple(messages)
        self._deleted: set[int] = set()
        self.octets = sum(message.size for message in messages)

    def __len__(self) -> int:
        """How many there are, without those marked as deleted."""
        return len(self._messages) - len(self._deleted)

    def __iter__(self) -> Iterator[tuple[int, Message]]:
        """Go through those that are not marked as deleted, with their numbers."""
        for number, message in enumerate(self._messages, 1):
            if number not in self._deleted:
                yield number, message

    def find(self, number: int) -> Message | None:
        """Return a message; None if there is none of that number, or it is marked as deleted."""
        if not 0 < number <= len(self._messages) or number in self._deleted:
            return None
        return self._messages[number - 1]

    def delete(self, number: int) -> bool:
        """Mark a message as deleted; return whether there was one."""
        message = self.find(number)
        if message is not None:
            self._deleted.add(number)
            self.octets -= message.size
        return message is not None

    def restore(self) -> None:
        """Unmark all."""
        self._deleted.clear()
        self.octets = sum(message.size for message in self._messages)

    def doomed(self) -> tuple[str, ...]:
        """Return the keys of those marked as deleted."""
        return tuple(self._messages[number - 1].key for number in sorted(self._deleted))
