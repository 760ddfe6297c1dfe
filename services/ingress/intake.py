"""Intake: makes a message ours. The client hears 250 only after this has succeeded.

That costs one event: what the ledger wants to know travels in it, and is told by the router.
What a stranger sends is checked first, once it is complete (`Panel`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from kernel.blobs.port import BlobsUnavailableError
from kernel.bus.port import BusUnavailableError
from kernel.model.envelope import INLINE_LIMIT, BlobId, Content, Envelope
from kernel.model.events import MailAccepted
from kernel.model.reply import Reply
from kernel.platform import Platform
from services.ingress import journal
from services.ingress.checks.panel import Panel
from services.ingress.core import replies
from services.ingress.core.effects import Offer, Rejected
from services.ingress.core.pressure import Cause
from services.ingress.core.trace import fields_before
from services.ingress.inspection import MAX_HEADER, Inspection, is_whole
from services.ingress.pressure import Pressure


@dataclass(frozen=True, slots=True)
class Intake:
    """Stores contents and publishes what was accepted. Without a ``panel`` nothing is checked."""

    platform: Platform
    pressure: Pressure
    panel: Panel | None = None

    async def take(self, offer: Offer, content: bytes) -> Reply:
        """Make a whole message ours; return what its client shall hear."""
        now = self.platform.clock()
        fields = self._fields(offer, content, now)
        if self.panel is None or not offer.stranger:
            return await self._publish(offer, fields + content, now)
        inspection = Inspection(content)
        arrival = inspection.arrival(offer, now, lambda: _chain([content]))
        verdict = await self.panel.judge(arrival)
        if verdict.refusal is not None:
            return _refuse(offer, verdict.refusal)
        whole = verdict.fields + fields + inspection.cleaned(content, self._hostname)
        if len(whole) <= INLINE_LIMIT:
            return await self._publish(offer, whole, now)
        return await self._keep(offer, _chain([whole]), now)

    async def take_stream(self, offer: Offer, content: AsyncIterator[bytes]) -> Reply:
        """Make a large message ours, while it comes in. What ``content`` raises goes on.

        Its first chunk has to hold what our own fields depend on.
        """
        now = self.platform.clock()
        if self.panel is not None and offer.stranger:
            return await self._take_checked(self.panel, offer, content, now)
        head = await anext(content)
        whole = _chain([self._fields(offer, head, now), head], content)
        del head  # it is not to stay in memory until the last octet has come
        return await self._keep(offer, whole, now)

    async def _take_checked(
        self, panel: Panel, offer: Offer, content: AsyncIterator[bytes], now: datetime
    ) -> Reply:
        """Put a large message aside while it comes in, and make it ours once it is checked."""
        head = await _head_of(content)
        inspection = Inspection(head)
        if inspection.header_size > MAX_HEADER:
            return _refuse(offer, replies.HEADER_TOO_BIG)
        own = self._fields(offer, head, now)
        blobs, aside = self.platform.blobs, f"{offer.id}.aside"
        try:
            whole = _chain([head], _watched(inspection, content))
            del head  # it is not to stay in memory until the last octet has come
            await blobs.put(aside, whole)
        except BlobsUnavailableError as error:
            return self._not_stored(offer, error)
        try:
            verdict = await panel.judge(inspection.arrival(offer, now, lambda: blobs.read(aside)))
            if verdict.refusal is not None:
                return _refuse(offer, verdict.refusal)
            whole = _chain(
                [verdict.fields + own], inspection.without_forged(blobs.read(aside), self._hostname)
            )
            return await self._keep(offer, whole, now)
        finally:
            await self._forget(aside)

    async def _forget(self, blob: BlobId) -> None:
        """Delete a blob, unless the store is away: then it goes as an orphan, later."""
        with suppress(BlobsUnavailableError):
            await self.platform.blobs.delete(blob)

    @property
    def _hostname(self) -> str:
        return self.platform.settings.hostname

    def _fields(self, offer: Offer, head: bytes, now: datetime) -> bytes:
        return fields_before(offer, head, self._hostname, now)

    async def _keep(self, offer: Offer, chunks: AsyncIterator[bytes], now: datetime) -> Reply:
        try:
            blob = await self.platform.blobs.put(offer.id, chunks)
        except BlobsUnavailableError as error:
            return self._not_stored(offer, error)
        self.pressure.stored()
        return await self._publish(offer, blob, now)

    def _not_stored(self, offer: Offer, error: BlobsUnavailableError) -> Reply:
        self.pressure.failed(Cause.STORING, str(error))
        journal.deferred(offer, error)
        return replies.TRY_LATER

    async def _publish(self, offer: Offer, content: Content, now: datetime) -> Reply:
        """Publish. If that fails the blob stays: the event may have come through all the same."""
        envelope = _envelope(offer, content, now)
        accepted = MailAccepted(envelope, f"{offer.listener} {offer.client}", offer.rules)
        try:
            await self.platform.bus.publish(accepted)
        except BusUnavailableError as error:
            self.pressure.failed(Cause.PUBLISHING, str(error))
            journal.deferred(offer, error)
            return replies.TRY_LATER
        self.pressure.published()
        journal.accepted(offer, envelope)
        return Reply(250, "2.0.0", f"OK queued as {offer.id}")


def _refuse(offer: Offer, reply: Reply) -> Reply:
    rejected = Rejected(offer.id, offer.sender, reply, offer.submitter)
    journal.rejected(offer.listener, offer.client, rejected)
    return reply


def _envelope(offer: Offer, content: Content, now: datetime) -> Envelope:
    return Envelope(
        offer.id,
        offer.sender,
        offer.recipients,
        content,
        now,
        offer.submitter,
        offer.body,
        offer.smtputf8,
        offer.requiretls,
        offer.ret,
        offer.envid,
        not offer.stranger,
        offer.hold_until,
    )


async def _head_of(content: AsyncIterator[bytes]) -> bytes:
    """Return the beginning of a message, with all of its header section if that has its size."""
    head = b""
    async for chunk in content:
        head += chunk
        if is_whole(head) or len(head) > MAX_HEADER:
            break
    return head


async def _chain(
    first: list[bytes], rest: AsyncIterator[bytes] | None = None
) -> AsyncIterator[bytes]:
    """Yield what comes first, keeping none of it, then the rest."""
    while first:
        yield first.pop(0)
    if rest is not None:
        async for chunk in rest:
            yield chunk


async def _watched(inspection: Inspection, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a message while it is inspected; what takes long is done in a thread."""
    async for chunk in rest:
        if inspection.is_costly:
            await asyncio.to_thread(inspection.feed, chunk)
        else:
            inspection.feed(chunk)
        yield chunk
