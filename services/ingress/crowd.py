"""Crowd: everybody who is connected, and the work that is done for them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from kernel.model.questions import Listener
from kernel.model.reply import Reply
from kernel.tasks import begin, end_all
from services.ingress import metrics
from services.ingress.core import replies
from services.ingress.core.watch import Times

_LINGER = 1.0
"""How long a client whom we told to go may take to hear it."""


_AT_A_TIME = 500
"""So many guests are looked at before somebody else has a turn."""


class Guest(Protocol):
    """A connection, as the crowd sees it."""

    @property
    def is_busy(self) -> bool:
        """Whether a message is coming in or being made ours."""

    @property
    def unread(self) -> int:
        """Octets that the client has not read yet, as far as we know."""

    def leave(self) -> None:
        """Ask the client to go, at once or after its message."""

    def check(self, now: float, times: Times) -> None:
        """Hang up if something has taken too long."""

    def abort(self) -> None:
        """Drop the connection."""


class Crowd:
    """Counts the guests of all listeners, looks after the silent ones, sees all of them out."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._guests: dict[Guest, tuple[str, str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self.is_leaving = False

    @property
    def guests(self) -> tuple[Guest, ...]:
        """Who is connected."""
        return tuple(self._guests)

    @property
    def size(self) -> int:
        """How many are connected."""
        return len(self._guests)

    def admit(self, guest: Guest, listener: Listener, client: str) -> Reply | None:
        """Let ``guest`` in, or return why not. Whoever is let in must be let out.

        A guest that is in already is counted as this client from now on.
        """
        self.let_out(guest)
        name = listener.name
        total, own = self._counts[name, ""], self._counts[name, client]
        if total >= listener.max_connections or own >= listener.max_connections_per_ip:
            return replies.TOO_MANY_CONNECTIONS
        self._guests[guest] = (name, client)
        self._count(name, client, 1)
        return None

    def count(self, listener: str, client: str = "") -> int:
        """Return how many are connected to a listener, or of them a client's."""
        return self._counts[listener, client]

    def let_out(self, guest: Guest) -> None:
        """Forget ``guest``, if it was ever in."""
        where = self._guests.pop(guest, None)
        if where is not None:
            self._count(*where, -1)
            self._news.set()

    def _count(self, name: str, client: str, change: int) -> None:
        self._counts[name, ""] += change
        self._counts[name, client] += change
        if not self._counts[name, client]:
            del self._counts[name, client]
        metrics.connections(name).inc(change)

    def work(self, job: Coroutine[Any, Any, None]) -> None:
        """Do ``job`` to its end, whether or not the guest stays that long."""
        self._keep_in_mind(asyncio.create_task(job))

    def begin(self, job: Coroutine[Any, Any, None]) -> None:
        """As `work`, but begin at once, and do all of it that has nothing to wait for."""
        task = begin(job)
        if task is None:
            self._news.set()
        else:
            self._keep_in_mind(task)

    def _keep_in_mind(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()

    async def look_after(self) -> None:
        """Look for silent guests now and then, until cancelled. One timer serves all of them."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._times.idle / 4, self._times.deaf / 4, 5.0))
            for index, guest in enumerate(list(self._guests), 1):
                guest.check(loop.time(), self._times)
                if not index % _AT_A_TIME:
                    await asyncio.sleep(0)

    async def see_out(self, grace: float) -> None:
        """Ask everybody to go; whoever has a message on the way gets ``grace`` seconds for it."""
        self.is_leaving = True
        for guest in list(self._guests):
            guest.leave()
        await self._until(
            lambda: not self._tasks and not any(g.is_busy for g in self._guests), grace
        )
        await self._until(lambda: not self._guests, _LINGER)
        for guest in list(self._guests):
            guest.abort()
        await end_all(self._tasks)

    async def _until(self, fulfilled: Callable[[], bool], limit: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not fulfilled():
                    self._news.clear()
                    await self._news.wait()
