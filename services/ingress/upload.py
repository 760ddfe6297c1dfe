"""Upload: a message on its way from the socket to the blob store, no faster than the store."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

FULL = 32_768
"""Octets that may stand between the socket and the store before reading pauses."""
COST = 262_144
"""Octets of memory that an upload may cost, with all that is on its way to the store."""


class SpilledError(Exception):
    """The message was given up before its end."""


class Upload:
    """A bounded pipe. ``on_room`` is called whenever something was taken out of it."""

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._on_room = on_room
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._is_sealed = False
        self._is_spilled = False
        self._is_deaf = False
        self._news = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether whoever pours should wait for `on_room`."""
        return self._size > FULL

    def pour(self, octets: bytes) -> None:
        """Put ``octets`` in."""
        if not self._is_deaf:
            self._chunks.append(octets)
            self._size += len(octets)
            self._news.set()

    def seal(self) -> None:
        """Say that this was all."""
        self._is_sealed = True
        self._news.set()

    def spill(self) -> None:
        """Give up, unless it is sealed: then the message is complete, whatever happens now."""
        self._is_spilled = not self._is_sealed
        self._news.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what was poured in; end when sealed, raise `SpilledError` when spilled."""
        while not self._is_spilled:
            if self._chunks:
                yield self._take()
            elif self._is_sealed:
                return
            else:
                self._news.clear()
                await self._news.wait()
        raise SpilledError

    async def was_sealed(self) -> bool:
        """Let whatever still comes fall through; return at the end whether it was sealed."""
        self._is_deaf = True
        self._chunks.clear()
        self._size = 0
        self._on_room()
        while not (self._is_sealed or self._is_spilled):
            self._news.clear()
            await self._news.wait()
        return self._is_sealed

    def _take(self) -> bytes:
        octets = self._chunks.popleft()
        self._size -= len(octets)
        self._on_room()
        return octets
