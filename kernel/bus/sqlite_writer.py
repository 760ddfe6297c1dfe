"""The writer of the SQLite bus: one thread that owns the connection, and commits in groups.

Whatever gathers while a transaction is being made durable goes together into the
next one. Answers come back to the event loop all at once.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kernel.bus.port import BusUnavailableError
from kernel.bus.process import uptime
from kernel.bus.sqlite_tables import Lease, Tables
from kernel.model.events import Work

W_contra = TypeVar("W_contra", bound=Work, contravariant=True)

MAX_OPERATIONS = 256
MAX_OCTETS = 16 * 1024 * 1024
POLL_EVERY = 0.05
BEAT_EVERY = 5.0
CHECK_EVERY = 1.0  # whether others live; what they had is then up for us
PAUSE = 0.5  # seconds, after a transaction that failed
GATHER = 0.002
CROWD = 4
"""After a transaction of more operations than that, the next gathers for ``GATHER`` seconds.

Each statement takes the interpreter away from the event loop and gives it back, and that
costs more than the statement: fewer, larger transactions made every service in one process
a quarter faster (745 to 925 messages a second). A lone publisher does not wait.
"""


@dataclass(slots=True, eq=False)
class Put:
    """Events to publish. Those that a consumer here has room for are born as its leases."""

    rows: list[tuple[str, bool, bytes]]
    takers: list["tuple[Taker[Any], Work] | None"]
    future: asyncio.Future[None]
    asked_at: float
    first_id: int = 0
    owner: int = 0


class Taker(Protocol[W_contra]):
    """Whoever keeps room for an event that is being published."""

    def take(self, lease: Lease, event: W_contra) -> None:
        """Handle an event that is ours now."""

    def give_up(self) -> None:
        """Use the room for another: the event was not published."""


@dataclass(slots=True, eq=False)
class Job:
    """Anything else: ``run`` is called with the tables, ``settle`` with what it returned.

    Tried until it succeeds, unless ``fail`` wants to hear of the error instead.
    """

    run: Callable[[Tables], Any]
    settle: Callable[[Any], None] = lambda _: None
    fail: Callable[[BusUnavailableError], None] | None = None
    answer: Any = None


Item = Put | list[Lease] | Job
"""What the writer takes: leases are events that are done."""


@dataclass(slots=True)
class _Batch:
    puts: list[Put] = field(default_factory=list)
    done: list[Lease] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    operations: int = 0
    octets: int = 0
    last: bool = False

    def add(self, item: Item | None) -> None:
        self.operations += 1
        if type(item) is list:
            self.done.extend(item)
        elif type(item) is Put:
            self.puts.append(item)
            self.octets += sum([len(data) for _, _, data in item.rows])
        elif type(item) is Job:
            self.jobs.append(item)
        else:
            self.last = True

    def is_full(self) -> bool:
        return self.last or self.operations >= MAX_OPERATIONS or self.octets >= MAX_OCTETS


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the bus wants to be told, on its own thread."""

    settled: Callable[[list[Put], BusUnavailableError | None], None]
    others_wrote: Callable[[list[bytes]], None]


class Writer:
    """Takes operations from the event loop and reports back to it."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, hooks: Hooks) -> None:
        self._path = path
        self._loop = loop
        self._hooks = hooks
        self._inbox: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="bus-writer", daemon=True)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._version = 0
        self._last_notice = 0
        self._next_beat = 0.0
        self._next_poll = 0.0
        self._next_check = 0.0
        self.trouble = ""

    async def start(self) -> None:
        """Open the file; raises `BusUnavailableError` if that cannot be done."""
        self._thread.start()
        await self._opened

    def submit(self, item: Item) -> None:
        """Take one operation."""
        self._inbox.put(item)

    async def close(self) -> None:
        """Do what was submitted, hand back what is ours, and close the file."""
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            tables = self._open()
        except (sqlite3.Error, OSError) as error:
            failure = BusUnavailableError(f"{self._path}: {error}")
            self._tell(self._opened.set_exception, failure)
            return
        self._tell(self._opened.set_result, None)
        try:
            self._serve(tables)
        finally:
            self.trouble = "the bus is closed"
            tables.close()

    def _open(self) -> Tables:
        tables = Tables.open(self._path)
        now = uptime()
        tables.begin()
        tables.enter(now)
        tables.bury(tables.dead(now))
        tables.commit()
        self._last_notice = tables.last_notice()
        self._version = tables.version()
        self._next_beat = now + BEAT_EVERY
        return tables

    def _serve(self, tables: Tables) -> None:
        batch = _Batch()
        while not batch.last:
            batch = self._gather(crowded=batch.operations > CROWD)
            self._commit(tables, batch)
            self._look_around(tables, uptime())
        self._transact(tables, tables.leave)

    def _gather(self, *, crowded: bool) -> _Batch:
        batch = _Batch()
        try:
            batch.add(self._inbox.get(timeout=POLL_EVERY))
            if crowded:
                time.sleep(GATHER)
            while not batch.is_full():
                batch.add(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _commit(self, tables: Tables, batch: _Batch) -> None:
        """Carry out a batch; if that fails, publishers hear of it and the rest is kept."""
        batch.puts = [put for put in batch.puts if self._is_wanted(put)]
        if not (batch.puts or batch.done or batch.jobs):
            return
        failure = self._transact(tables, lambda: _carry_out(tables, batch))
        settled = batch.jobs
        if failure is not None:
            settled = [job for job in batch.jobs if job.fail is not None]
            if batch.done:
                self._inbox.put(batch.done)
            for job in batch.jobs:
                if job.fail is None:
                    self._inbox.put(job)
        self._tell(self._settle, batch.puts, settled, failure)

    def _is_wanted(self, put: Put) -> bool:
        """Whether its publisher still waits; nobody else needs to hear of it."""
        if not put.future.done():
            return True
        self._tell(self._settle, [put], [], BusUnavailableError("given up"))
        return False

    def _settle(
        self, puts: list[Put], jobs: list[Job], failure: BusUnavailableError | None
    ) -> None:
        self._hooks.settled(puts, failure)
        for job in jobs:
            if failure is None:
                job.settle(job.answer)
            elif job.fail is not None:
                job.fail(failure)

    def _transact(self, tables: Tables, work: Callable[[], None]) -> BusUnavailableError | None:
        """Do ``work`` in a transaction. If we missed a beat, others may have buried us before."""
        try:
            tables.begin()
            if uptime() > self._next_beat and not tables.is_owner():
                tables.enter(uptime())
            work()
            tables.commit()
        except sqlite3.Error as error:
            tables.rollback()
            return self._failed(error)
        self.trouble = ""
        return None

    def _look_around(self, tables: Tables, now: float) -> None:
        try:
            if now >= self._next_poll:
                self._poll(tables, now)
            if now >= self._next_check:
                self._beat(tables, now)
        except sqlite3.Error as error:
            self._failed(error)

    def _failed(self, error: sqlite3.Error) -> BusUnavailableError:
        """Remember what is wrong, and ask again soon: it may pass."""
        self.trouble = f"{self._path}: {error}"
        self._next_beat = 0.0
        time.sleep(PAUSE)
        return BusUnavailableError(self.trouble)

    def _tell(self, call: Callable[..., None], *values: object) -> None:
        """Call back on the event loop; once that is closed nobody is left to hear it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *values)

    def _poll(self, tables: Tables, now: float) -> None:
        """Look whether another process has published or told something."""
        self._next_poll = now + POLL_EVERY
        version = tables.version()
        if version == self._version:
            return
        self._version = version
        found = tables.notices(self._last_notice)
        if found:
            self._last_notice = found[-1][0]
        notices = [data for _, data in found]
        self._tell(self._hooks.others_wrote, notices)

    def _beat(self, tables: Tables, now: float) -> None:
        """Say that we live, and take over from those who do not."""
        self._next_check = now + CHECK_EVERY
        dead = tables.dead(now)
        if not dead and now < self._next_beat:
            return

        def work() -> None:
            tables.beat(now)
            if dead:
                tables.bury(dead)

        if self._transact(tables, work) is None:
            self._next_beat = now + BEAT_EVERY
        self._tell(self._hooks.others_wrote, [])


def _carry_out(tables: Tables, batch: _Batch) -> None:
    if batch.puts:
        _put(tables, batch.puts)
    if batch.done:
        tables.done(batch.done)
    for job in batch.jobs:
        job.answer = job.run(tables)


def _put(tables: Tables, puts: list[Put]) -> None:
    owner = tables.owner
    rows = [
        (name, owner if leased else None, data) for put in puts for name, leased, data in put.rows
    ]
    next_id = tables.put(rows)
    for put in puts:
        put.first_id, put.owner = next_id, owner
        next_id += len(put.rows)
