"""Intake: makes a message ours. The client hears 250 only after this has succeeded.

That costs one event: what the ledger wants to know travels in it, and is told by the router.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from kernel.blobs.port import BlobsUnavailableError
from kernel.bus.port import BusUnavailableError
from kernel.model.envelope import Content, Envelope
from kernel.model.events import MailAccepted
from kernel.model.reply import Reply
from kernel.platform import Platform
from services.ingress import journal
from services.ingress.core import replies
from services.ingress.core.effects import Offer
from services.ingress.core.pressure import Cause
from services.ingress.core.trace import fields_before
from services.ingress.pressure import Pressure


@dataclass(frozen=True, slots=True)
class Intake:
    """Stores contents and publishes what was accepted."""

    platform: Platform
    pressure: Pressure

    async def take(self, offer: Offer, content: bytes) -> Reply:
        """Make a whole message ours; return what its client shall hear."""
        now = self.platform.clock()
        fields = self._fields(offer, content, now)
        return await self._publish(offer, fields + content, now)

    async def take_stream(self, offer: Offer, head: bytes, rest: AsyncIterator[bytes]) -> Reply:
        """Make a large message ours, while it comes in. What ``rest`` raises goes on."""
        now = self.platform.clock()
        fields = self._fields(offer, head, now)
        try:
            blob = await self.platform.blobs.put(offer.id, _chain(fields + head, rest))
        except BlobsUnavailableError as error:
            journal.deferred(offer, error)
            self.pressure.failed(Cause.STORING, str(error))
            return replies.TRY_LATER
        self.pressure.stored()
        return await self._publish(offer, blob, now)

    def _fields(self, offer: Offer, head: bytes, now: datetime) -> bytes:
        return fields_before(offer, head, self.platform.settings.hostname, now)

    async def _publish(self, offer: Offer, content: Content, now: datetime) -> Reply:
        """Publish. If that fails the blob stays: the event may have come through all the same."""
        envelope = _envelope(offer, content, now)
        accepted = MailAccepted(envelope, f"{offer.listener} {offer.client}", offer.rules)
        try:
            await self.platform.bus.publish(accepted)
        except BusUnavailableError as error:
            journal.deferred(offer, error)
            self.pressure.failed(Cause.PUBLISHING, str(error))
            return replies.TRY_LATER
        self.pressure.published()
        journal.accepted(offer, envelope)
        return Reply(250, "2.0.0", f"OK queued as {offer.id}")


def _envelope(offer: Offer, content: Content, now: datetime) -> Envelope:
    return Envelope(
        offer.id,
        offer.sender,
        offer.recipients,
        content,
        received_at=now,
        submitter=offer.submitter,
        body=offer.body,
        smtputf8=offer.smtputf8,
        requiretls=offer.requiretls,
        ret=offer.ret,
        envid=offer.envid,
    )


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
