"""The desk: all that the routes work with; how a change is made, noted and made known."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.bus.port import Bus, BusUnavailableError
from kernel.clock import Clock
from kernel.model.events import DirectoryChanged
from kernel.names import NameServers
from services.auth.adapters import audit
from services.auth.adapters.database import Database
from services.auth.adapters.passwords import Passwords
from services.auth.adapters.sealing import Seal
from services.auth.core.scopes import EVERYTHING, allows
from services.auth.directory import Directory
from services.auth.errands import Errands
from services.auth.greylisting import Greylisting
from services.auth.keys import Keys
from services.auth.logins import Logins
from services.auth.relaying import Relaying
from services.auth.sending import SendingOffice
from services.auth.surveying import Surveyor

BROADCAST_PATIENCE = 2.0  # seconds; whoever misses it is right again after a few seconds
LONGEST_KEY = 512  # characters, as in the table
_log = structlog.get_logger("audit")

Shown = Mapping[str, Any]
"""A thing as the API shows it, fit for JSON."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the API: a user, an API key or another service, from where, and what it may do."""

    login: str = ""
    client: str = ""
    scopes: frozenset[str] = frozenset()
    key: str = ""

    def __str__(self) -> str:
        return self.login or (f"key:{self.key}" if self.key else "(service)")

    @property
    def administrator(self) -> bool:
        """Whether it may do everything."""
        return EVERYTHING in self.scopes

    def may(self, scope: str) -> bool:
        """Whether it may do what ``scope`` names."""
        return allows(self.scopes, scope)


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the audit log. ``action`` is ``added``, ``changed`` or ``removed``."""

    action: str
    kind: str
    key: str
    before: Shown | None = None
    after: Shown | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change under way: the transaction it happens in, and what is to be said of it."""

    db: AsyncConnection
    notes: list[Note] = field(default_factory=list)

    def note(
        self,
        action: str,
        kind: str,
        key: str,
        *,
        before: Shown | None = None,
        after: Shown | None = None,
    ) -> None:
        """Write it into the audit log, and tell the other processes, once it stands."""
        self.notes.append(Note(action, kind, key[:LONGEST_KEY], before, after))


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes work with. ``dns`` gives name servers that remember nothing."""

    database: Database
    directory: Directory
    relaying: Relaying
    logins: Logins
    greylisting: Greylisting
    sending: SendingOffice
    seal: Seal | None
    dns: Callable[[], NameServers]
    surveyor: Surveyor
    passwords: Passwords
    keys: Keys
    bus: Bus
    clock: Clock
    token: str
    never_lan: tuple[str, ...] = ()
    errands: Errands = field(default_factory=Errands)

    @asynccontextmanager
    async def changing(self, who: Caller) -> AsyncIterator[Change]:
        """Yield a change, which stands with its notes once the block ends, and not if it raises.

        One comes after the other: what somebody expects to be changing is so until it is changed.
        Then it is heeded here, and the other processes are told; whether they can be or not,
        it stands. Raises what `Database.writing` raises.
        """
        async with self.database.writing(alone=True) as db:
            change = Change(db)
            yield change
            for note in change.notes:
                await audit.write(
                    db, at=self.clock(), who=str(who), client=who.client, **asdict(note)
                )
        for note in change.notes:
            _log.info(note.action, kind=note.kind, key=note.key, by=str(who), client=who.client)
            await self.tell(DirectoryChanged(note.kind, note.key))

    async def tell(self, notice: DirectoryChanged) -> None:
        """Heed ``notice`` here, and tell the other processes."""
        self.heed(notice)
        await self._broadcast(notice)

    def tell_soon(self, notice: DirectoryChanged) -> None:
        """Heed ``notice`` here and now, and tell the other processes meanwhile."""
        self.heed(notice)
        self.errands.run(self._broadcast(notice), "telling the others")

    async def _broadcast(self, notice: DirectoryChanged) -> None:
        try:
            async with asyncio.timeout(BROADCAST_PATIENCE):
                await self.bus.broadcast(notice)
        except (BusUnavailableError, TimeoutError) as error:
            _log.warning(
                "others will learn of it late", kind=notice.kind, key=notice.key, why=str(error)
            )

    def heed(self, notice: DirectoryChanged) -> None:
        """Forget what is remembered of what has changed."""
        self.directory.drop(notice)
        self.logins.heed(notice)
        self.keys.drop(notice)
