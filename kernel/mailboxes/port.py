"""Mailboxes as services see them. Adapter: `kernel.mailboxes.maildir`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from kernel.model.address import Address


class MailboxUnavailableError(Exception):
    """The mailbox cannot be written or read now: disk full, no permission, out of reach."""


class MessageMissingError(Exception):
    """There is no such message in the mailbox (any more)."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a mailbox. ``key`` names it for good; ``size`` is in octets with CRLF."""

    key: str
    size: int


class Mailboxes(Protocol):
    """One mailbox for each user; its name is the user's address."""

    async def deliver(self, mailbox: Address, key: str, chunks: AsyncIterator[bytes]) -> bool:
        """Put a message into ``mailbox``; return once it is on stable storage.

        ``key`` is derived from the mail's id and the recipient: a message that is
        there already is left as it is, and False returned. Line ends are CRLF and
        stay so. Raises `MailboxUnavailableError`.
        """

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        """Return what is in the mailbox, oldest first; nothing if it has never had mail."""

    def read(self, mailbox: Address, key: str) -> AsyncIterator[bytes]:
        """Yield the message's octets as they were delivered. Raises `MessageMissingError`."""

    async def delete(self, mailbox: Address, key: str) -> None:
        """Remove the message. One that is not there is removed already."""
