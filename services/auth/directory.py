"""The directory at hand: what was read lately, for as long as it may be trusted.

Changes of ours are seen at once, those of other processes when their notice
comes; nothing is older than `MAX_AGE`, whatever was missed. Who asks may keep what it
hears for a while too: nobody acts upon anything older than 5 s.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Generic, TypeVar

from kernel.model.events import DirectoryChanged
from services.auth.core.directory import Entry, Key, User
from services.auth.core.grants import Grant
from services.auth.core.policies import Policies
from services.auth.ports import DirectoryUnavailableError, Records

K = TypeVar("K")
V = TypeVar("V")

MAX_AGE = 2.0  # seconds; the router keeps our answers for 3 more
MOST_KEPT = 50_000
MOST_AT_ONCE = 500  # keys that are looked up again along with others


class _Kept(Generic[V]):
    """Something at hand: when it was asked for, and whether anybody has used it since."""

    __slots__ = ("at", "used", "value")

    def __init__(self, at: float, value: V | None) -> None:
        self.at = at
        self.value = value
        self.used = False


class Shelf(Generic[K, V]):
    """Keeps what ``look_up`` found, and that it found nothing, for a short while.

    What is in use is looked up again before it is too old, together with whatever else has to
    be looked up: a crowd of keys costs one question now and then, not one for each key.
    """

    def __init__(
        self,
        look_up: Callable[[Collection[K]], Awaitable[Mapping[K, V]]],
        monotonic: Callable[[], float],
    ) -> None:
        self._look_up = look_up
        self._monotonic = monotonic
        self._kept: dict[K, _Kept[V]] = {}  # the oldest first
        self._drops = 0

    async def get(self, keys: Collection[K]) -> dict[K, V | None]:
        """Return what is known of ``keys``; looks up what is not at hand, in one go."""
        now = self._monotonic()
        found: dict[K, V | None] = {}
        missing = []
        for key in keys:
            kept = self._kept.get(key)
            if kept is not None and now - kept.at < MAX_AGE:
                kept.used = True
                found[key] = kept.value
            else:
                missing.append(key)
        return found | await self._fetch(missing, now) if missing else found

    def drop(self, key: K | None = None) -> None:
        """Forget what stands under ``key``, or everything; also what is being looked up now."""
        self._drops += 1
        if key is None:
            self._kept.clear()
        else:
            self._kept.pop(key, None)

    async def _fetch(self, keys: list[K], now: float) -> dict[K, V | None]:
        drops = self._drops
        wanted = list(dict.fromkeys((*keys, *self._due(now))))
        fresh = await self._look_up(wanted)
        if drops == self._drops:
            self._keep({key: fresh.get(key) for key in wanted}, now)
        return {key: fresh.get(key) for key in keys}

    def _due(self, now: float) -> Iterator[K]:
        """Yield what is in use and will soon be too old; forget what is too old and is not."""
        for key, kept in list(islice(self._kept.items(), MOST_AT_ONCE)):
            if now - kept.at < MAX_AGE / 2:
                break
            if kept.used:
                yield key
            elif now - kept.at >= MAX_AGE:
                del self._kept[key]

    def _keep(self, found: Mapping[K, V | None], now: float) -> None:
        if len(self._kept) + len(found) > MOST_KEPT:
            self._kept.clear()
        for key, value in found.items():
            self._kept.pop(key, None)  # so that it goes to the end
            self._kept[key] = _Kept(now, value)


class Directory:
    """Answers from memory, and from the records when memory is too old."""

    def __init__(self, records: Records, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._monotonic = monotonic
        self._entries = Shelf[Key, Entry](records.entries, monotonic)
        self._users = Shelf[str, User](records.users, monotonic)
        self._grants = Shelf[str, tuple[Grant, ...]](records.grants, monotonic)
        self._policies: tuple[float, Policies] | None = None
        self._reading: asyncio.Task[Policies] | None = None
        self.trouble = ""

    async def policies(self, max_age: float = MAX_AGE) -> Policies:
        """Return the server-wide settings. A crowd that finds them too old reads them once."""
        if self._policies and self._monotonic() - self._policies[0] < max_age:
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

    async def grants(self, clients: Collection[str]) -> Mapping[str, tuple[Grant, ...] | None]:
        """Return the grants of these clients (`Granting.key`)."""
        return await self._grants.get(clients) if clients else {}

    def afresh(self) -> "Directory":
        """Return a directory that remembers nothing yet."""
        return Directory(self._records, self._monotonic)

    def drop(self, notice: DirectoryChanged) -> None:
        """Forget what ``notice`` is about, also what is being read right now.

        Logins change something all the time, so they cost no more than they must.
        """
        match notice.kind:
            case "grants":
                self._grants.drop(notice.key or None)
            case "app-passwords":
                self._users.drop()
            case "lockouts" | "api-keys" | "routes" | "dkim-keys":
                pass
            case _:
                self._drop_all()

    def _drop_all(self) -> None:
        self._policies = self._reading = None
        for shelf in (self._entries, self._users, self._grants):
            shelf.drop()

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
