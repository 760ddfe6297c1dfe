"""A turnstile: lets so many through at a time as it is told now; the others wait, not for long."""

import asyncio
from collections import deque


class Turnstile:
    """Who gets through calls `leave` in the end."""

    def __init__(self) -> None:
        self.inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    async def enter(self, room: int, patience: float) -> bool:
        """Get through, where there is ``room`` for so many; False if it was not in time."""
        if self.inside < room and not self._queue:
            self.inside += 1
            return True
        if patience <= 0 or room <= 0:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            return self._has_come(turn)
        except asyncio.CancelledError:
            if self._has_come(turn):
                self.leave(room)
            raise
        return True

    def leave(self, room: int) -> None:
        """Come out; whoever waits first goes in, where there is ``room`` for so many."""
        self.inside -= 1
        self.admit(room)

    def admit(self, room: int) -> None:
        """Let in as many as there is ``room`` for now."""
        while self._queue and self.inside < room:
            turn = self._queue.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)

    def _has_come(self, turn: "asyncio.Future[None]") -> bool:
        """Whether our turn came in the moment in which we stopped waiting for it."""
        if turn.done() and not turn.cancelled():
            return True
        if turn in self._queue:
            self._queue.remove(turn)
        return False
