"""Removes what is no longer needed: contents of ended mail, old tombstones, old timelines."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from kernel.blobs.port import BlobsUnavailableError
from kernel.bus.port import BusUnavailableError, queue_of
from kernel.model.envelope import BlobId, MailId
from kernel.model.events import MailAccepted, MailTraced
from kernel.platform import Platform
from services.ledger.metrics import BLOBS_DELETED
from services.ledger.ports import Books, StoreUnavailableError, WaitingRoom
from services.ledger.settings import Settings

AT_ONCE = 500
TOMBSTONES = timedelta(days=1)
ORPHANS_EVERY = timedelta(hours=1)
_TELLING = {queue_of(MailAccepted, ""), queue_of(MailTraced, ""), "parked"}
UNAVAILABLE = (StoreUnavailableError, BlobsUnavailableError, BusUnavailableError)

_log = structlog.get_logger("ledger")


class Sweeper:
    """Sweeps now and then. Several of them may sweep the same house."""

    def __init__(
        self, platform: Platform, books: Books, room: WaitingRoom, settings: Settings
    ) -> None:
        self._platform = platform
        self._books = books
        self._room = room
        self._settings = settings
        self._orphans_due: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled. What cannot be removed now will be later."""
        while True:
            await asyncio.sleep(self._settings.sweep.total_seconds())
            try:
                await self.sweep()
            except UNAVAILABLE as error:
                _log.warning("cannot sweep", why=str(error))

    async def sweep(self) -> None:
        """Remove all that is due to be removed."""
        now = self._platform.clock()
        while blobs := await self._books.idle_blobs(now - self._settings.keep_content, AT_ONCE):
            await self._delete(blobs)
        while await self._room.bury(now - TOMBSTONES):
            pass
        while await self._books.forget(now - self._settings.keep, AT_ONCE):
            pass
        if self._orphans_due is None or now >= self._orphans_due:
            self._orphans_due = now + ORPHANS_EVERY
            await self.sweep_orphans(now - self._settings.orphans)

    async def sweep_orphans(self, written_before: datetime) -> None:
        """Remove old blobs of which no mail has need.

        The ledger hears of a mail when it is routed. While mail that is not, or a
        trace, is still on the bus, or anything is parked, nobody knows whether it
        speaks of such a blob: then nothing is removed.
        """
        if await self._untold():
            return
        batch: set[BlobId] = set()
        async for blob in self._platform.blobs.older_than(written_before):
            batch.add(blob)
            if len(batch) == AT_ONCE:
                await self._delete_orphans(batch)
                batch = set()
        await self._delete_orphans(batch)

    async def _delete_orphans(self, blobs: set[BlobId]) -> None:
        needed = await self._books.blobs_needed(blobs) if blobs else set()
        for blob in sorted(blobs - needed):
            await self._platform.blobs.delete(blob)
            _log.info("orphan deleted", blob=blob)

    async def _delete(self, blobs: Mapping[MailId, BlobId]) -> None:
        for blob in blobs.values():
            await self._platform.blobs.delete(blob)
        await self._books.blobs_deleted(blobs.keys())
        BLOBS_DELETED.inc(len(blobs))

    async def _untold(self) -> int:
        queues = await self._platform.bus.queues()
        return sum(queue.ready + queue.taken for queue in queues if queue.name in _TELLING)
