"""Fellows: the other workers that carry remote legs, as far as we hear of them.

Each says every few seconds that it is there, and how many connections it has; at once when it
hears of a newcomer. Who is silent for long is gone.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

import structlog

from kernel.bus.port import Bus, BusUnavailableError
from kernel.model.events import Notice, WorkerSeen
from services.delivery.core.sharing import portion

PERIOD, HASTE = 3.0, 0.3
"""Seconds between two signs of life; the shorter while others wait for us to have less."""
SILENCE = 10.0
"""Seconds of silence after which a worker counts as gone."""
HEARING = 0.5
"""Seconds that others have to answer a newcomer before it begins."""
GOODBYE = 2.0
CONNECTING = 10.0
MOST_SITES, MOST_PORTIONS = 50, 20_000
EVERYWHERE = "*"
"""The name under which connections to all sites are counted."""

_log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class _Fellow:
    heard: float
    loads: Mapping[str, int]


class Fellows:
    """Says that we are here, hears who else is. ``loads`` gives our connections by site."""

    def __init__(
        self, bus: Bus, monotonic: Callable[[], float] = time.monotonic, me: str = ""
    ) -> None:
        self.me = me or f"{socket.gethostname()}-{token_hex(4)}"
        self.loads: Callable[[], Mapping[str, int]] = dict
        self.when_changed: Callable[[], None] = lambda: None
        self.is_over: Callable[[], bool] = lambda: False
        self.joined: float | None = None
        self._bus = bus
        self._monotonic = monotonic
        self._others: dict[str, _Fellow] = {}
        self._portions: dict[tuple[int, str], int] = {}
        self._outbox: list[Notice] = []
        self._due = asyncio.Event()
        self._present = asyncio.Event()

    @property
    def workers(self) -> frozenset[str]:
        """Who is alive, ourselves included."""
        return frozenset((*self._others, self.me))

    def portion(self, limit: int, site: str) -> int:
        """Return how much of ``limit`` at ``site`` is for us."""
        if not self._others:
            return limit
        ours = self._portions.get((limit, site))
        if ours is None:
            if len(self._portions) >= MOST_PORTIONS:
                self._portions.clear()
            ours = portion(limit, site, self.me, self.workers)
            self._portions[limit, site] = ours
        return ours

    def allowance(self, limit: int, site: str) -> int:
        """Return how many connections to ``site`` we may have: our portion, if it is free yet."""
        taken = sum(fellow.loads.get(site, 0) for fellow in self._others.values())
        return max(0, min(self.portion(limit, site), limit - taken))

    def tell(self, notice: Notice) -> None:
        """Tell the others soon."""
        self._outbox.append(notice)
        self._due.set()

    async def hear(self, seen: WorkerSeen) -> None:
        """Take note of a worker."""
        if seen.worker == self.me:
            return
        if seen.leaving:
            if self._others.pop(seen.worker, None) is not None:
                self._changed("worker has left", seen.worker)
            return
        is_new = seen.worker not in self._others
        self._others[seen.worker] = _Fellow(self._monotonic(), seen.site_loads)
        if is_new:
            self._due.set()
            self._changed("worker has come", seen.worker)

    async def join(self) -> None:
        """Return once those who are there have had time to say so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECTING):
                while self._bus.trouble():  # noqa: ASYNC110 - the bus is asked, it does not tell
                    await asyncio.sleep(0.05)
        await self._say()
        self._present.set()
        await asyncio.sleep(HEARING)
        if self._others:
            self.joined = self._monotonic()

    async def run(self) -> None:
        """Say that we are here, once we are, and what else there is to say; until cancelled."""
        await self._present.wait()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HASTE if self.is_over() else PERIOD):
                    await self._due.wait()
            self._due.clear()
            await self._say()
            self._forget_the_silent()

    async def leave(self) -> None:
        """Say goodbye: the others need not wait until we are missed."""
        if not self._present.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._send(WorkerSeen(self.me, {}, leaving=True))

    async def _say(self) -> None:
        outbox, self._outbox = self._outbox, []
        for notice in (*outbox, WorkerSeen(self.me, self._busiest())):
            await self._send(notice)

    async def _send(self, notice: Notice) -> None:
        try:
            await self._bus.broadcast(notice)
        except BusUnavailableError as error:  # it may be missed, like any notice
            _log.debug("cannot tell the other workers", why=str(error))

    def _busiest(self) -> dict[str, int]:
        loads = sorted(self.loads().items(), key=lambda load: -load[1])
        return dict(loads[:MOST_SITES])

    def _forget_the_silent(self) -> None:
        """Drop who has not been heard of; while we cannot hear, silence means nothing."""
        if self._bus.trouble():
            now = self._monotonic()
            self._others = {n: _Fellow(now, fellow.loads) for n, fellow in self._others.items()}
        line = self._monotonic() - SILENCE
        for name in [n for n, fellow in self._others.items() if fellow.heard < line]:
            del self._others[name]
            self._changed("worker is silent", name)

    def _changed(self, what: str, name: str) -> None:
        self._portions.clear()
        _log.info(what, worker=name, workers=len(self.workers))
        self.when_changed()
