"""A consumer of the SQLite bus: so many events at a time, from its own process or the file."""

import asyncio
from collections import deque
from datetime import timedelta
from typing import Generic, TypeVar

from kernel import wire
from kernel.bus.handling import MAX_FAILURES, Handling, retry_delay, wind_down
from kernel.bus.sqlite_tables import Lease
from kernel.bus.sqlite_writer import Job, Writer
from kernel.clock import Clock
from kernel.model.events import Work

W = TypeVar("W", bound=Work)
Taken = tuple[Lease, W]

WAITING_ROOM = 4
"""Times what it handles at once: so many events of its own process a consumer may hold."""


class Consumer(Generic[W]):
    """Handles the events of one queue, so many at once as its handling says.

    Some more of those published in this process may wait here for their turn, which
    spares them the way through the file.

    ``_behind`` says that the file may hold events for us. As long as it does, newly
    published ones have to queue up there too, or the old would never be reached.
    """

    def __init__(self, queue: str, handling: Handling[W], writer: Writer, clock: Clock) -> None:
        self._queue = queue
        self._handling = handling
        self._at_once = handling.concurrency * handling.limit
        self._held = 0  # events that are ours, or for which room is kept
        self._waiting: deque[Taken[W]] = deque()
        self._writer = writer
        self._clock = clock
        self._behind = False
        self._claiming = False
        self._last_chance = False  # one of our events is on its last chance
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def reserve(self) -> bool:
        """Keep room for an event that is being published, if there is any."""
        room = self._at_once * WAITING_ROOM - self._held
        if room < 1 or self._behind or self._claiming or self._closed:
            return False
        self._held += 1
        return True

    def give_up(self) -> None:
        """Use the room for another event: that one was not published."""
        self._held -= 1
        self._claim()

    def take(self, lease: Lease, event: W) -> None:
        """Handle an event for which room was kept."""
        if self._closed:
            self._release([lease], touched=False)
            return
        self._waiting.append((lease, event))
        self._begin()

    def look(self) -> None:
        """Look into the file: there may be something for us."""
        self._behind = True
        self._claim()

    async def close(self, grace: timedelta) -> None:
        """Take nothing more; give handlers ``grace`` to end, then hand back what they have."""
        self._closed = True
        self._release([lease for lease, _ in self._waiting], touched=False)
        self._waiting.clear()
        await wind_down(self._tasks, grace)

    def _claim(self) -> None:
        limit = self._at_once - self._held
        if not self._behind or self._claiming or limit < 1 or self._closed:
            return
        self._held += limit
        self._behind, self._claiming = False, True
        now, last_chance = self._clock().timestamp(), not self._last_chance
        self._writer.submit(
            Job(
                lambda tables: tables.claim(self._queue, limit, now, last_chance=last_chance),
                lambda found: self._claimed(limit, found),
            )
        )

    def _claimed(self, limit: int, found: list[tuple[Lease, bytes]]) -> None:
        self._claiming = False
        self._held -= limit - len(found)
        if len(found) == limit:
            self._behind = True
        for lease, data in found:
            self._last_chance = self._last_chance or lease.is_last_chance
            self._open(lease, data)
        self._claim()

    def _open(self, lease: Lease, data: bytes) -> None:
        try:
            event = self._handling.read(data)
        except wire.UnreadableEventError as error:
            self._park(lease, f"unreadable: {error}")
            self._held -= 1
            self._chance_taken(lease)
            return
        self.take(lease, event)

    def _begin(self) -> None:
        if self._waiting and len(self._tasks) < self._handling.concurrency:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._begin()  # something may have come since it looked

    async def _work(self) -> None:
        """Handle what waits, call by call, until nothing waits any more."""
        while self._waiting:
            taken = self._next()
            try:
                await self._handle(taken)
            except asyncio.CancelledError:  # what is done or parked by now is ours no more
                self._release([lease for lease, _ in taken], touched=True)
                raise
            self._held -= len(taken)
            if not self._waiting:
                self._claim()

    def _next(self) -> list[Taken[W]]:
        """Return what goes into one call. What is on its last chance goes alone."""
        waiting, limit = self._waiting, self._handling.limit
        taken = [waiting.popleft()]
        if not taken[0][0].is_last_chance:
            while waiting and len(taken) < limit and not waiting[0][0].is_last_chance:
                taken.append(waiting.popleft())
        return taken

    async def _handle(self, taken: list[Taken[W]]) -> None:
        """Call the handler, and see what becomes of its events."""
        leases = [lease for lease, _ in taken]
        first = leases[0]
        why = await self._handling.attempt([event for _, event in taken], again=first.again)
        if not why:
            self._writer.submit(leases)
        elif len(taken) > 1:
            for one in taken:
                await self._handle([one])
        elif first.failures + 1 >= MAX_FAILURES:
            self._park(first, why)
        else:
            self._retry(first)
        self._chance_taken(first)

    def _chance_taken(self, lease: Lease) -> None:
        """Let the next event on its last chance in, if this was one."""
        if lease.is_last_chance:
            self._last_chance = False
            self._behind = True

    def _retry(self, lease: Lease) -> None:
        delay = retry_delay(lease.failures + 1)
        due = self._clock().timestamp() + delay
        self._writer.submit(Job(lambda tables: tables.fail(lease, due)))
        asyncio.get_running_loop().call_later(delay + 0.01, self.look)

    def _park(self, lease: Lease, why: str) -> None:
        self._handling.parked(why, lease.id)
        self._writer.submit(Job(lambda tables: tables.park(lease, why)))

    def _release(self, leases: list[Lease], *, touched: bool) -> None:
        self._writer.submit(Job(lambda tables: tables.release(leases, touched=touched)))
