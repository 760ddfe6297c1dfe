"""Puts legs into our mailboxes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from kernel.blobs.port import Blobs
from kernel.mailboxes.port import Mailboxes, MailboxRefusedError, MailboxUnavailableError
from kernel.model.address import Address
from kernel.model.envelope import Body, Content, Envelope
from kernel.model.events import MailRouted
from kernel.model.reply import Reply
from services.delivery.core.debinary import Debinary
from services.delivery.ports import Carried

DELIVERED = Reply(250, "2.0.0", "Delivered")
UNAVAILABLE = Reply(451, "4.2.0", "The mailbox cannot be written now")


class MailboxCourier:
    """Carries a leg over the `Local` hop. A second time changes nothing."""

    def __init__(self, mailboxes: Mailboxes, blobs: Blobs) -> None:
        self._mailboxes = mailboxes
        self._blobs = blobs

    async def carry(self, leg: MailRouted) -> Carried:
        """Try once, every mailbox for itself."""
        names = [recipient.address for recipient in leg.envelope.recipients]
        answers = await asyncio.gather(
            *(self._deliver(leg.envelope, name) for name in names), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        replies = zip(names, answers, strict=True)
        return Carried({name: reply for name, reply in replies if isinstance(reply, Reply)})

    async def _deliver(self, envelope: Envelope, mailbox: Address) -> Reply:
        sender = envelope.sender
        head = b"" if self._mailboxes.adds_trace else trace_fields(sender, mailbox)
        chunks = _chunks(head, envelope, self._blobs)
        try:
            await self._mailboxes.deliver(mailbox, key_of(envelope, mailbox), chunks, sender=sender)
        except MailboxRefusedError as refusal:
            return refusal.reply
        except MailboxUnavailableError:
            return UNAVAILABLE
        return DELIVERED


def key_of(envelope: Envelope, mailbox: Address) -> str:
    """Return the name of a mail in a mailbox: always the same, and fit for a file."""
    return f"{envelope.id}.{hashlib.blake2b(str(mailbox).encode(), digest_size=8).hexdigest()}"


def trace_fields(sender: Address | None, mailbox: Address) -> bytes:
    """Return what final delivery adds to the head of a message (RFC 5321 §4.4)."""
    return f"Return-Path: <{sender or ''}>\r\nDelivered-To: {mailbox}\r\n".encode()


async def _chunks(head: bytes, envelope: Envelope, blobs: Blobs) -> AsyncIterator[bytes]:
    content = _content(envelope.content, blobs)
    if envelope.body is Body.BINARY:
        content = _without_binary(content)
    async for chunk in content:
        yield head + chunk
        head = b""


async def _content(content: Content, blobs: Blobs) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    async for chunk in blobs.read(content.id):
        yield chunk


async def _without_binary(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a binary message as every reader of mailboxes can take it (RFC 3030 §3)."""
    converter = Debinary()
    async for chunk in content:
        yield converter.feed(chunk)
    yield converter.finish()
