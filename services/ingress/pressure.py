"""Pressure: the one place that knows whether we can take mail right now, and why not.

What the bus says and what became of the last mails counts at once; disks and queues are looked
at now and then. Nobody has to restart anything: what has passed is noticed as it came.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog

from kernel.blobs.port import BlobsUnavailableError
from kernel.bus.port import BusUnavailableError, queue_of
from kernel.model.events import MailAccepted, MailTraced
from kernel.model.reply import Reply
from kernel.platform import Platform
from services.ingress import metrics
from services.ingress.core.pressure import (
    TURNED_AWAY,
    Breaker,
    Cause,
    Patience,
    is_behind,
    refusal,
)

LOOK_EVERY = 0.5
"""Seconds between two looks at what the bus says and at the disks."""
COUNT_EVERY = 5.0
"""Seconds between two looks at the queues, which cost more."""
BEHIND_US = (queue_of(MailAccepted, ""), queue_of(MailTraced, ""))
"""Where mail gathers that the router cannot keep up with, and what the ledger has to note."""

_log = structlog.get_logger("ingress")


class Pressure:
    """Judges by ``platform``, and by what `Intake` says has become of the mails."""

    def __init__(
        self,
        platform: Platform,
        max_backlog: int = 0,
        patience: Patience | None = None,
        uptime: Callable[[], float] | None = None,
    ) -> None:
        self._platform = platform
        self._max_backlog = max_backlog
        self._patience = patience or Patience()
        self._uptime = uptime or asyncio.get_running_loop().time
        self._breakers: dict[Cause, Breaker] = {}  # of what has failed since it last worked
        self._whys: dict[Cause, str] = {}
        self._measured: dict[Cause, str] = {}
        self._told: dict[Cause, str] = {}
        self._next_count = 0.0
        for cause in Cause:
            metrics.pressure(cause).set(0)

    def trouble(self) -> str:
        """Return why no mail is taken, or an empty string.

        When it is time to try there is none: else nobody would send us the mail that tries.
        """
        causes = self._causes().items()
        return "; ".join(f"{cause}: {why}" for cause, why in causes if not self._may_try(cause))

    def at_door(self) -> Reply | None:
        """Return what a client hears instead of a greeting, or None."""
        return TURNED_AWAY if self._blocking() else None

    def at_mail(self) -> Reply | None:
        """Return what a client hears at MAIL; None, and it may be the one that tries."""
        if not (self._measured or self._breakers or self._platform.bus.trouble()):
            return None
        refused = refusal(self._blocking())
        if refused is None:
            now = self._uptime()
            for cause, breaker in self._breakers.items():
                self._breakers[cause] = breaker.trying(now, self._patience)
        return refused

    def at_data(self) -> Reply | None:
        """Return what a client hears at DATA, whose mail was welcome a moment ago; or None.

        It may be the one that tries: what became of others does not count any more.
        """
        if Cause.ROOM in self._measured:
            return refusal([Cause.ROOM])
        return refusal([Cause.BUS]) if self._platform.bus.trouble() else None

    def failed(self, cause: Cause, why: str) -> None:
        """Note that a mail could not be published, or stored."""
        before = self._breakers.get(cause, Breaker())
        self._breakers[cause] = before.failed(self._uptime(), self._patience)
        self._whys[cause] = why
        self._tell()

    def stored(self) -> None:
        """Note that a mail was stored."""
        if self._breakers.pop(Cause.STORING, None) is not None:
            self._tell()

    def published(self) -> None:
        """Note that a mail was published, whether or not it had to be stored."""
        if not self._breakers:
            return
        self._breakers.pop(Cause.PUBLISHING, None)
        storing = self._breakers.get(Cause.STORING)
        if storing is not None:
            self._breakers[Cause.STORING] = storing.unused(self._uptime())
        self._tell()

    async def follow(self) -> None:
        """Look at the bus, the disks and the queues until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Look at everything that does not tell us by itself."""
        self._measure(Cause.ROOM, await self._room())
        if self._max_backlog and self._uptime() >= self._next_count:
            self._next_count = self._uptime() + COUNT_EVERY
            self._measure(Cause.BACKLOG, await self._backlog())
        self._tell()

    def _measure(self, cause: Cause, why: str) -> None:
        self._measured.pop(cause, None)
        if why:
            self._measured[cause] = why

    async def _room(self) -> str:
        try:
            return await self._platform.blobs.shortage() or await self._platform.bus.shortage()
        except (BlobsUnavailableError, BusUnavailableError) as error:
            return str(error)

    async def _backlog(self) -> str:
        """Return which queue is too long. If nobody can tell, what was known stays."""
        before = self._measured.get(Cause.BACKLOG, "")
        try:
            states = await self._platform.bus.queues()
        except BusUnavailableError:
            return before
        for state in states:
            if state.name in BEHIND_US and is_behind(
                state.ready, self._max_backlog, was_behind=bool(before)
            ):
                return f"{state.ready} wait in {state.name}"
        return ""

    def _blocking(self) -> Collection[Cause]:
        """Return what keeps the next mail from coming in."""
        causes = [Cause.BUS, *self._measured] if self._platform.bus.trouble() else [*self._measured]
        for cause, breaker in self._breakers.items():
            if breaker.is_open and not self._may_try(cause):
                causes.append(cause)
        return causes

    def _may_try(self, cause: Cause) -> bool:
        """Whether it is time for one mail to try, although ``cause`` is not known to be over."""
        breaker = self._breakers.get(cause)
        return breaker is not None and breaker.lets_in(self._uptime())

    def _causes(self) -> dict[Cause, str]:
        """Return everything that is wrong, whether or not a mail may try."""
        bus = self._platform.bus.trouble()
        causes = {Cause.BUS: bus} if bus else {}
        opened = {cause: self._whys[cause] for cause, b in self._breakers.items() if b.is_open}
        return causes | self._measured | opened

    def _tell(self) -> None:
        """Say once that something has begun, and once that it is over."""
        causes = self._causes()
        if causes.keys() == self._told.keys():
            return
        for cause in causes.keys() - self._told.keys():
            metrics.pressure(cause).set(1)
            _log.warning("taking no mail", cause=cause, why=causes[cause])
        for cause in self._told.keys() - causes.keys():
            metrics.pressure(cause).set(0)
            _log.info("taking mail again", cause=cause, still=sorted(causes))
        self._told = causes
