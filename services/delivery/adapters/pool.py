"""The connections to one site: a bounded number in use, idle ones kept for the next message."""

import asyncio
from collections import deque

from services.delivery.adapters.connection import Connection
from services.delivery.core.smtp_client import Phase


class Lane:
    """Lets ``limit`` conversations go on at a time; the others wait their turn, not for long."""

    def __init__(self, limit: int, patience: float) -> None:
        self._free = limit
        self._limit = limit
        self._patience = patience
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle: list[Connection] = []

    @property
    def is_unused(self) -> bool:
        """Whether nobody uses or waits for it, and nothing is kept in it."""
        return self._free == self._limit and not self._idle

    async def enter(self) -> bool:
        """Take a place; False if none came free while patience lasted."""
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            return _has_come(turn)
        except asyncio.CancelledError:
            if _has_come(turn):
                self.leave()
            raise
        return True

    def leave(self) -> None:
        """Give the place to whoever waits first."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def take(self) -> Connection | None:
        """Return the idle connection that was used last: it is the least likely to be gone."""
        return self._idle.pop() if self._idle else None

    def keep(self, connection: Connection) -> None:
        """Keep a connection for whoever comes next."""
        if connection.client.phase is Phase.IDLE:
            self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        for connection in tuple(self._idle):
            connection.close()


def _has_come(turn: "asyncio.Future[None]") -> bool:
    """Whether our turn came in the moment in which we stopped waiting for it."""
    return turn.done() and not turn.cancelled()
