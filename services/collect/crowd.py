"""Crowd: everybody who is connected, so many at most, and how they are seen out."""

import asyncio
from collections import Counter

from kernel.tasks import end_all
from services.collect import metrics
from services.collect.core import replies
from services.collect.edge import Entrance, Visit
from services.collect.wire import Wire


class Crowd:
    """Starts a task for each client of any listener, and counts them."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._visits: dict[asyncio.Task[None], Wire] = {}
        self._counts: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """How many are connected."""
        return len(self._visits)

    def welcome(self, entrance: Entrance, wire: Wire) -> None:
        """Let a client in, or send it away."""
        if self.size >= self._most or self._counts[wire.client] >= self._most_per_address:
            metrics.turned_away(entrance.name).inc()
            wire.turn_away(f"{replies.TOO_MANY_CONNECTIONS}\r\n".encode())
            return
        task = asyncio.create_task(Visit(entrance, wire).run())
        self._visits[task] = wire
        self._count(entrance.name, wire.client, 1)
        task.add_done_callback(lambda _: self._let_out(entrance.name, task))

    async def see_out(self, grace: float) -> None:
        """Listen to nobody any more; what they have asked for until now gets ``grace`` seconds."""
        self._most = 0
        for wire in self._visits.values():
            wire.dismiss()
        if self._visits:
            await asyncio.wait(self._visits, timeout=grace)
        await end_all(self._visits)

    def _let_out(self, name: str, task: asyncio.Task[None]) -> None:
        self._count(name, self._visits.pop(task).client, -1)

    def _count(self, name: str, client: str, change: int) -> None:
        self._counts[client] += change
        if not self._counts[client]:
            del self._counts[client]
        metrics.connections(name).inc(change)
