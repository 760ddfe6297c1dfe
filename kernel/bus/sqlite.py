"""The bus of one machine: a SQLite file, shared by the processes that work on it.

An event that is published while a consumer in this process has room is written as
that consumer's already, and handed to it once the transaction is durable: no look-up,
no decoding. Whatever finds no room is claimed by whoever has room first.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

from kernel import metrics, wire
from kernel.bus.handling import Handling, call_listener
from kernel.bus.port import (
    LANES,
    BusClosedError,
    BusUnavailableError,
    CrowdHandler,
    Handler,
    Listener,
    Parked,
    QueueState,
    lane_of,
    queue_of,
)
from kernel.bus.process import uptime
from kernel.bus.sqlite_consumer import Consumer
from kernel.bus.sqlite_tables import Lease, Tables
from kernel.bus.sqlite_writer import Hooks, Job, Put, Writer
from kernel.clock import Clock, system_clock
from kernel.durable import DiskError, on_disk, shortage
from kernel.model.events import Notice, Work
from kernel.settings import path_of

W = TypeVar("W", bound=Work)
N = TypeVar("N", bound=Notice)
T = TypeVar("T")

PUBLISH_TIMEOUT = 10.0
_WATCH_EVERY = 0.5
_PARKED = "parked"
_LONGEST_KEY = 18  # digits: what SQLite can count
_LONG_QUEUE = 10_000  # notices a listener may lag behind before it misses some

_QUEUES: dict[tuple[type[Work], str], str] = {
    (kind, lane): queue_of(kind, lane) for kind, lanes in LANES.items() for lane in lanes
}
_PUBLISHED = {
    queue: metrics.EVENTS_PUBLISHED.labels(kind.__name__) for (kind, _), queue in _QUEUES.items()
}


@asynccontextmanager
async def connect(
    url: str,
    *,
    clock: Clock = system_clock,
    grace: timedelta = timedelta(seconds=20),
    reserve: int = 0,
) -> AsyncIterator["SqliteBus"]:
    """Yield the bus in the file that ``url`` names.

    It is short of room when its disk has less than ``reserve`` octets left.
    """
    bus = SqliteBus(url, clock, grace, reserve)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()


class SqliteBus:
    """Keeps the promises of `kernel.bus.port.Bus`."""

    def __init__(self, url: str, clock: Clock, grace: timedelta, reserve: int = 0) -> None:
        self._clock = clock
        self._grace = grace
        hooks = Hooks(self._settle, self._others_wrote)
        self._path = path_of(url)
        self._reserve = reserve
        self._writer = Writer(self._path, asyncio.get_running_loop(), hooks)
        self._consumers: dict[str, list[Consumer[Any]]] = {}
        self._listeners: list[tuple[type[Notice], asyncio.Queue[Notice]]] = []
        self._publishing: dict[Put, None] = {}
        self._closed = False
        self._watchdog: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the file."""
        await self._writer.start()
        self._watchdog = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Write what is under way, hand back the rest, close the file."""
        self._closed = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        await self._writer.close()
        self._give_up(self._publishing, BusClosedError("the bus is closed"))

    async def publish(self, *events: Work) -> None:
        """See the port."""
        if self._closed:
            raise BusClosedError("the bus is closed")
        future = asyncio.get_running_loop().create_future()
        put = Put([], [], future, uptime())
        for event in events:
            queue = _QUEUES[type(event), lane_of(event)]
            taker = self._taker(queue)
            put.rows.append((queue, taker is not None, wire.encode(event)))
            put.takers.append((taker, event) if taker is not None else None)
        self._publishing[put] = None
        self._writer.submit(put)
        await future

    async def consume(
        self,
        kind: type[W],
        handler: Handler[W],
        *,
        lane: str = "",
        concurrency: int = 64,
        again: Handler[W] | None = None,
    ) -> None:
        """See the port."""
        await self._consume(kind, lane, Handling.single(kind, handler, again, concurrency))

    async def consume_together(
        self, kind: type[W], handler: CrowdHandler[W], *, lane: str = "", limit: int = 500
    ) -> None:
        """See the port."""
        await self._consume(kind, lane, Handling.together(kind, handler, limit))

    async def broadcast(self, notice: Notice) -> None:
        """See the port."""
        data, now = wire.encode(notice), self._clock().timestamp()
        await self._ask(lambda tables: tables.tell(data, now))
        self._tell_listeners(notice)

    async def listen(self, kind: type[N], listener: Listener[N]) -> None:
        """See the port."""
        heard: asyncio.Queue[Notice] = asyncio.Queue(_LONG_QUEUE)
        entry = (cast("type[Notice]", kind), heard)
        self._listeners.append(entry)
        try:
            while True:
                await call_listener(listener, cast("N", await heard.get()))
        finally:
            self._listeners.remove(entry)

    async def queues(self) -> tuple[QueueState, ...]:
        """See the port."""
        counts = await self._ask(Tables.counts)
        return tuple(
            QueueState(name, *counts.get(name, (0, 0, 0, 0)))
            for name in (*_QUEUES.values(), _PARKED)
        )

    async def parked(self, limit: int = 100) -> tuple[Parked, ...]:
        """See the port."""
        rows = await self._ask(lambda tables: tables.parked(limit))
        return tuple(Parked(str(id_), queue, why, data) for id_, queue, why, data in rows)

    async def replay(self, key: str) -> bool:
        """See the port."""
        if not (key.isascii() and key.isdecimal() and len(key) <= _LONGEST_KEY):
            return False
        found = await self._ask(lambda tables: tables.replay(int(key)))
        self._look_everywhere()
        return found

    async def shortage(self) -> str:
        """See the port. Events that are done need room on the disk, too: the log of SQLite."""
        try:
            return await on_disk(shortage, self._path.parent, self._reserve)
        except DiskError as error:
            raise BusUnavailableError(f"cannot look at the disk: {error}") from error

    def trouble(self) -> str:
        """See the port."""
        oldest = next(iter(self._publishing), None)
        if self._writer.trouble or oldest is None:
            return self._writer.trouble
        waited = uptime() - oldest.asked_at
        return (
            f"the disk has not answered for {waited:.0f} s" if waited > PUBLISH_TIMEOUT / 2 else ""
        )

    async def _consume(self, kind: type[W], lane: str, handling: Handling[W]) -> None:
        queue = _QUEUES[cast("type[Work]", kind), lane]
        consumer = Consumer(queue, handling, self._writer, self._clock)
        fellows = self._consumers.setdefault(queue, [])
        fellows.append(consumer)
        self._writer.submit(Job(lambda tables: tables.consuming(queue, begins=True)))
        consumer.look()
        try:
            await asyncio.Event().wait()
        finally:
            fellows.remove(consumer)
            self._writer.submit(Job(lambda tables: tables.consuming(queue, begins=False)))
            await consumer.close(self._grace)

    def _taker(self, queue: str) -> Consumer[Any] | None:
        """Return a consumer here that has kept room for one event; they take turns."""
        fellows = self._consumers.get(queue, ())
        for consumer in fellows:
            if consumer.reserve():
                if len(fellows) > 1:
                    fellows.append(fellows.pop(0))
                return consumer
        return None

    def _settle(self, puts: list[Put], failure: BusUnavailableError | None) -> None:
        """Tell publishers and consumers what became of a transaction."""
        crowded: set[str] = set()
        published: Counter[str] = Counter()
        for put in puts:
            self._publishing.pop(put, None)
            if failure is not None:
                _undo(put, failure)
                continue
            id_ = put.first_id
            for (queue, _, _), taken in zip(put.rows, put.takers, strict=True):
                published[queue] += 1
                if taken is None:
                    crowded.add(queue)
                else:
                    taken[0].take(Lease(put.owner, id_), taken[1])
                id_ += 1
            if not put.future.done():
                put.future.set_result(None)
        for queue, count in published.items():
            _PUBLISHED[queue].inc(count)
        for queue in crowded:
            for consumer in self._consumers.get(queue, ()):
                consumer.look()

    def _others_wrote(self, notices: list[bytes]) -> None:
        for data in notices:
            self._tell_listeners(cast("Notice", wire.decode(data)))
        self._look_everywhere()

    def _look_everywhere(self) -> None:
        for fellows in self._consumers.values():
            for consumer in fellows:
                consumer.look()

    def _tell_listeners(self, notice: Notice) -> None:
        for kind, heard in self._listeners:
            if isinstance(notice, kind) and not heard.full():
                heard.put_nowait(notice)

    async def _ask(self, run: Callable[[Tables], T]) -> T:
        if self._closed:
            raise BusClosedError("the bus is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def settle(answer: T) -> None:
            if not future.done():
                future.set_result(answer)

        def fail(error: BusUnavailableError) -> None:
            if not future.done():
                future.set_exception(error)

        self._writer.submit(Job(run, settle, fail))
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                return await future
        except TimeoutError:
            raise BusUnavailableError("the disk did not answer in time") from None

    async def _watch(self) -> None:
        """Let no publisher wait for longer than the timeout."""
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            line = uptime() - PUBLISH_TIMEOUT
            late = [put for put in self._publishing if put.asked_at < line]
            self._give_up(late, BusUnavailableError("the disk did not answer in time"))

    def _give_up(self, puts: Iterable[Put], error: BusUnavailableError) -> None:
        for put in tuple(puts):
            self._publishing.pop(put, None)
            if not put.future.done():
                put.future.set_exception(error)


def _undo(put: Put, failure: BusUnavailableError) -> None:
    for taken in put.takers:
        if taken is not None:
            taken[0].give_up()
    if not put.future.done():
        put.future.set_exception(failure)
