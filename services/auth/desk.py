"""The desk: all that the routes work with, and how a change is made known."""

import asyncio
from dataclasses import dataclass

import structlog

from kernel.bus.port import Bus, BusUnavailableError
from kernel.model.events import DirectoryChanged
from services.auth.adapters.database import Database
from services.auth.adapters.passwords import Passwords
from services.auth.directory import Directory
from services.auth.logins import Logins
from services.auth.relaying import Relaying

BROADCAST_PATIENCE = 2.0  # seconds; whoever misses it is right again after a few seconds
_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the API: a user, or another service (``login`` is empty then)."""

    login: str
    administrator: bool

    def __str__(self) -> str:
        return self.login or "(service)"


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes work with."""

    database: Database
    directory: Directory
    relaying: Relaying
    logins: Logins
    passwords: Passwords
    bus: Bus
    token: str

    async def changed(self, who: Caller, what: str, kind: str, key: str, **facts: object) -> None:
        """Write the change into the audit log, heed it, and tell the other processes.

        The change stands, whether they can be told or not.
        """
        _log.info(what, kind=kind, key=key, by=str(who), **facts)
        self.directory.drop()
        try:
            async with asyncio.timeout(BROADCAST_PATIENCE):
                await self.bus.broadcast(DirectoryChanged(kind, key))
        except (BusUnavailableError, TimeoutError) as error:
            _log.warning("others will learn of it late", kind=kind, key=key, why=str(error))
