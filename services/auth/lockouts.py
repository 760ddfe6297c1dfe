"""Lockouts: counts failures for all processes, and says who has to wait.

Failures stand in the database; what was read is remembered for a moment. A refusal writes,
a login that is granted after failures clears them, and nothing else does.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from kernel.bus.port import Bus
from kernel.clock import Clock
from kernel.model.events import DirectoryChanged
from services.auth.adapters import failures
from services.auth.adapters.database import Database
from services.auth.adapters.failures import LockedError
from services.auth.core.lan import neighbourhood
from services.auth.core.login import PATIENCE, Failures, Subject, Suspect, is_locked
from services.auth.directory import Shelf
from services.auth.errands import Errands

KIND = "lockouts"
LONGEST = 512  # characters, as in the table
LONGEST_CLIENT = 64
PRUNE_EVERY = timedelta(minutes=10)
_MEMORY = max(patience.memory for patience in PATIENCE.values())


class Lockouts:
    """Asked before and after each password. Every method raises `DirectoryUnavailableError`."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        errands: Errands,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._errands = errands
        self._shelf = Shelf[Suspect, Failures](self._look_up, monotonic)
        self._pruned = clock()

    async def forbid(self, suspects: Collection[Suspect], *, afresh: bool = False) -> bool:
        """Whether one of them has to wait; ``afresh`` to know it from the database itself."""
        if afresh:
            self._forget(suspects)
        known = await self._shelf.get(suspects)
        now = self._clock()
        return any(is_locked(known[suspect], PATIENCE[suspect[0]], now) for suspect in suspects)

    async def count(self, suspects: Collection[Suspect]) -> bool:
        """Count a failure of each; not if one of them has to wait by now: then return false."""
        now = self._clock()
        try:
            async with self._database.writing() as db:
                counted = await failures.count(db, suspects, now)
        except LockedError:
            return False
        finally:
            self._forget(suspects)
        for suspect, their_failures in counted.items():
            if is_locked(their_failures, PATIENCE[suspect[0]], now):
                self._errands.run(self._tell(suspect), "telling of a lockout")
        if now - self._pruned >= PRUNE_EVERY:
            self._pruned = now
            self._errands.run(self._prune(now - _MEMORY), "removing old failures")
        return True

    async def forgive(self, suspects: Collection[Suspect]) -> None:
        """Forget what a name got wrong, here and as a whole; its client may have tried others."""
        names = [suspect for suspect in suspects if suspect[0] is not Subject.CLIENT]
        if not any((await self._shelf.get(names)).values()):
            return
        async with self._database.writing() as db:
            for suspect in sorted(names, reverse=True):  # in the order of `failures.count`
                await failures.remove(db, suspect)
        self._forget(names)

    def drop(self, notice: DirectoryChanged) -> None:
        """Forget what ``notice`` is about."""
        if notice.kind == KIND:
            subject, _, who = notice.key.partition(" ")
            self._shelf.drop((Subject(subject), who) if who else None)

    def _forget(self, suspects: Collection[Suspect]) -> None:
        for suspect in suspects:
            self._shelf.drop(suspect)

    async def _look_up(self, suspects: Collection[Suspect]) -> Mapping[Suspect, Failures]:
        async with self._database.reading() as db:
            return await failures.find(db, suspects)

    async def _tell(self, suspect: Suspect) -> None:
        await self._bus.broadcast(DirectoryChanged(KIND, " ".join(suspect)))

    async def _prune(self, before: datetime) -> None:
        async with self._database.writing() as db:
            await failures.prune(db, before)


def suspects_of(login: str, client: str) -> tuple[Suspect, ...]:
    """Return against whom a failure counts; an empty ``login`` is nobody's."""
    home = neighbourhood(client)
    if not isinstance(home, str):
        home = str(home.network_address if home.num_addresses == 1 else home)
    home = home[:LONGEST_CLIENT]
    pair = f"{login[: LONGEST - LONGEST_CLIENT - 1]} {home}" if login and home else ""
    everyone = ((Subject.LOGIN, login), (Subject.CLIENT, home), (Subject.PAIR, pair))
    return tuple((subject, who) for subject, who in everyone if who)
