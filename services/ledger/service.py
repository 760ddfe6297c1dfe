"""Keeps what it is told: traces in the books, deferred legs in the waiting room."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from kernel import maillog
from kernel.bus.port import Bus
from kernel.model.events import MailDeferred, MailTraced, Work
from kernel.platform import Platform
from services.ledger.core.record import record
from services.ledger.metrics import TRACES
from services.ledger.ports import Books, StoreUnavailableError, WaitingRoom

E = TypeVar("E", bound=Work)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Intake(Generic[E]):
    """Stores events, and waits while nothing can be stored.

    An outage of the database must not count against an event: it stays in hand
    for ``patience``, and then queues again. In a crowd we rest for ``pace``, so
    that more gather for the next: nobody waits for us, and every commit keeps the
    disk from somebody who is waited for.
    """

    def __init__(
        self,
        store: Callable[[Sequence[E]], Awaitable[None]],
        bus: Bus,
        patience: timedelta,
        *,
        pace: timedelta = timedelta(0),
    ) -> None:
        self._store = store
        self._bus = bus
        self._patience = patience.total_seconds()
        self._pace = pace.total_seconds()
        self._trouble = ""

    def trouble(self) -> str:
        """Return why nothing can be stored, or an empty string."""
        return self._trouble

    async def take(self, events: Sequence[E]) -> None:
        """Return once ``events`` are on stable storage, or on their queue again."""
        try:
            await self._store_all(events)
        except StoreUnavailableError:
            await self._bus.publish(*events)
        if len(events) > 1:
            await asyncio.sleep(self._pace)

    async def _store_all(self, events: Sequence[E]) -> None:
        """Store ``events``, however often that must be tried; not for longer than we may."""
        pause, waited = FIRST_PAUSE, 0.0
        while True:
            try:
                await self._store(events)
            except StoreUnavailableError as error:
                self._trouble = str(error)
                if waited >= self._patience:
                    raise
            else:
                self._trouble = ""
                return
            await asyncio.sleep(pause)
            waited += pause
            pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Stores what the bus brings."""

    platform: Platform
    books: Books
    room: WaitingRoom

    async def trace(self, events: Sequence[MailTraced]) -> None:
        """Enter ``events`` in the timeline. Safe to run twice: twins are recognised by name."""
        await self.books.record(record(events))
        TRACES.inc(len(events))

    async def defer(self, deferrals: Sequence[MailDeferred]) -> None:
        """Let ``deferrals`` wait. Safe to run twice: a leg waits once."""
        await self.room.put(deferrals, self.platform.clock())
        for deferred in deferrals:
            leg, due = deferred.leg, deferred.due.isoformat()
            maillog.note("waits", leg.envelope.id, leg=leg.id, due=due, why=str(deferred.why))
