"""Mailboxes as services see them. Adapters: `maildir` and `lmtp`, beside this."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from kernel.model.address import Address
from kernel.model.reply import Reply


class MailboxUnavailableError(Exception):
    """The mailbox cannot be written or read now: disk full, no permission, out of reach."""


class MailboxRefusedError(Exception):
    """Who keeps the mailbox does not want this message, now or later; ``reply`` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class MailboxBusyError(Exception):
    """Somebody else has claimed the mailbox."""


class MessageMissingError(Exception):
    """There is no such message in the mailbox (any more)."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a mailbox. ``key`` names it for good; ``size`` is in octets with CRLF."""

    key: str
    size: int


class Mailboxes(Protocol):
    """One mailbox for each user; its name is the user's address.

    Where ``adds_trace``, who keeps them adds Return-Path and Delivered-To itself (RFC 5321 §4.4).
    """

    adds_trace: bool

    async def deliver(
        self,
        mailbox: Address,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sender: Address | None = None,
    ) -> bool:
        """Put a message from ``sender`` into ``mailbox``; return once it is on stable storage.

        ``key`` is derived from the mail's id and the recipient: a message that is
        there already is left as it is, and False returned. Line ends are CRLF and
        stay so. Raises `MailboxRefusedError` or `MailboxUnavailableError`.
        """

    def claim(self, mailbox: Address) -> AbstractAsyncContextManager[None]:
        """Have ``mailbox`` for us alone meanwhile, among all who claim it, on any host.

        Who delivers does not claim: mail comes in all the time. A claim ends with its
        process, however that ends. Raises `MailboxBusyError` or `MailboxUnavailableError`.
        """

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        """Return what is in the mailbox, oldest first; nothing if it has never had mail.

        Raises `MailboxUnavailableError`.
        """

    def read(self, mailbox: Address, key: str) -> AsyncGenerator[bytes, None]:
        """Yield the message's octets as they were delivered.

        Raises `MessageMissingError` or `MailboxUnavailableError`.
        """

    async def delete(self, mailbox: Address, keys: Iterable[str]) -> None:
        """Remove messages. One that is not there is removed already.

        Raises `MailboxUnavailableError`: then some are still there.
        """
