"""Policies: what auth says of each listener, kept fresh; its last word counts while it is away."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from kernel.model.events import DirectoryChanged
from kernel.model.questions import Listener
from services.ingress.ports import Directory, DirectoryUnavailableError

_REFRESH = 4.0
_RETRY = 0.25


class Policies:
    """The settings of the listeners ``names``."""

    def __init__(self, directory: Directory, names: Iterable[str]) -> None:
        self._directory = directory
        self._known: dict[str, Listener] = {}
        self._stale = {name: asyncio.Event() for name in names}
        self._complete = asyncio.Event()

    def current(self, name: str) -> Listener | None:
        """Return the settings of a listener, or None before auth has ever answered."""
        return self._known.get(name)

    async def all_known(self) -> None:
        """Wait until there is something to go by for every listener."""
        await self._complete.wait()

    async def notice(self, change: DirectoryChanged) -> None:
        """Ask again at once."""
        if change.concerns_logins_alone:
            return
        for stale in self._stale.values():
            stale.set()

    async def follow(self, name: str) -> None:
        """Keep the settings of ``name`` fresh, until cancelled."""
        stale = self._stale[name]
        while True:
            stale.clear()
            with suppress(DirectoryUnavailableError):
                self._known[name] = await self._directory.listener(name)
            if len(self._known) == len(self._stale):
                self._complete.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH if name in self._known else _RETRY):
                    await stale.wait()
