"""The directory at hand: what was read lately, for as long as it may be trusted.

Changes of ours are seen at once, those of other processes when their notice
comes; nothing is older than `MAX_AGE`, whatever was missed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from services.auth.core.directory import Entry, Key, User
from services.auth.core.policies import Policies
from services.auth.ports import DirectoryUnavailableError, Records

K = TypeVar("K")
V = TypeVar("V")

MAX_AGE = 5.0  # seconds
MOST_KEPT = 50_000


class Shelf(Generic[K, V]):
    """Keeps what ``look_up`` found, and that it found nothing, for a short while."""

    def __init__(
        self,
        look_up: Callable[[Collection[K]], Awaitable[Mapping[K, V]]],
        monotonic: Callable[[], float],
    ) -> None:
        self._look_up = look_up
        self._monotonic = monotonic
        self._kept: dict[K, tuple[float, V | None]] = {}
        self._drops = 0

    async def get(self, keys: Collection[K]) -> dict[K, V | None]:
        """Return what is known of ``keys``; looks up what is not at hand, in one go."""
        now = self._monotonic()
        found: dict[K, V | None] = {}
        missing = []
        for key in keys:
            kept = self._kept.get(key)
            if kept is not None and now - kept[0] < MAX_AGE:
                found[key] = kept[1]
            else:
                missing.append(key)
        return found | await self._fetch(missing, now) if missing else found

    def drop(self) -> None:
        """Forget everything, also what is being looked up right now."""
        self._kept.clear()
        self._drops += 1

    async def _fetch(self, keys: list[K], now: float) -> dict[K, V | None]:
        drops = self._drops
        fresh = await self._look_up(keys)
        found = {key: fresh.get(key) for key in keys}
        if drops == self._drops:
            if len(self._kept) + len(found) > MOST_KEPT:
                self._kept.clear()
            self._kept |= {key: (now, value) for key, value in found.items()}
        return found


class Directory:
    """Answers from memory, and from the records when memory is too old."""

    def __init__(self, records: Records, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._monotonic = monotonic
        self._entries = Shelf[Key, Entry](records.entries, monotonic)
        self._users = Shelf[str, User](records.users, monotonic)
        self._policies: tuple[float, Policies] | None = None
        self._reading: asyncio.Task[Policies] | None = None
        self.trouble = ""

    async def policies(self) -> Policies:
        """Return the server-wide settings. A crowd that finds them too old reads them once."""
        if self._policies and self._monotonic() - self._policies[0] < MAX_AGE:
            return self._policies[1]
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_policies())
            self._reading.add_done_callback(_look_at)
        return await asyncio.shield(self._reading)

    async def entries(self, keys: Collection[Key]) -> Mapping[Key, Entry | None]:
        """Return the entries that stand under ``keys``."""
        return await self._entries.get(keys) if keys else {}

    async def users(self, logins: Collection[str]) -> Mapping[str, User | None]:
        """Return the users of these login names."""
        return await self._users.get(logins) if logins else {}

    def drop(self) -> None:
        """Forget everything, also what is being read right now: something has changed."""
        self._policies = self._reading = None
        self._entries.drop()
        self._users.drop()

    async def check(self) -> None:
        """Find out whether the records can be read; `trouble` says why not."""
        try:
            await self.policies()
        except DirectoryUnavailableError as error:
            self.trouble = f"the database: {error}"
        else:
            self.trouble = ""

    async def _read_policies(self) -> Policies:
        now = self._monotonic()
        try:
            policies = await self._records.policies()
            if self._reading is asyncio.current_task():
                self._policies = (now, policies)
            return policies
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None


def _look_at(task: asyncio.Task[Policies]) -> None:
    """Take note of how a reading ended, even if all who asked have gone."""
    if not task.cancelled():
        task.exception()
