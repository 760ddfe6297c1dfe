"""Releases what waits: once a leg is due, it goes back on the bus."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from kernel import maillog
from kernel.bus.port import BusUnavailableError, queue_of
from kernel.model.events import MailRouted, MailTraced, Stage
from kernel.platform import Platform
from services.ledger.core.fate import Step
from services.ledger.core.record import Records
from services.ledger.core.release import (
    POSTPONE,
    WaitingLeg,
    must_wait_for_traces,
    still_to_serve,
)
from services.ledger.metrics import RELEASED, SERVED
from services.ledger.ports import StoreUnavailableError, WaitingRoom

LEASE = timedelta(seconds=60)
AT_ONCE = 100

_log = structlog.get_logger("ledger")


class Releaser:
    """Watches the waiting room. Several of them may watch the same one."""

    def __init__(
        self,
        platform: Platform,
        room: WaitingRoom,
        tick: timedelta,
        storing: Callable[[], str] = str,
    ) -> None:
        """Count traces that are here as read already, unless there is trouble with ``storing``."""
        self._platform = platform
        self._storing = storing
        self._room = room
        self._tick = tick
        self._nudged = asyncio.Event()
        self._trouble = ""

    def trouble(self) -> str:
        """Return why nothing is released, or an empty string."""
        return self._trouble

    def nudge(self) -> None:
        """Look again now: something may have become due."""
        self._nudged.set()

    async def run(self) -> None:
        """Release until cancelled. What cannot be done now is tried again a tick later."""
        while True:
            self._nudged.clear()
            try:
                pause = await self._round()
                self._trouble = ""
            except (StoreUnavailableError, BusUnavailableError) as error:
                self._trouble = str(error) or type(error).__name__
                _log.warning("cannot release", why=self._trouble)
                await asyncio.sleep(self._tick.total_seconds())
                continue
            await self._sleep(pause)

    async def release_due(self) -> int:
        """Publish the legs that are due; return how many there were.

        They are published before that is written down: a ledger that vanishes in
        between leaves a leg in doubt, and doubt is settled by the timeline.
        """
        now = self._platform.clock()
        due = await self._room.take(now, LEASE, AT_ONCE)
        if not due:
            return 0
        unread = await self._unread(due) if any(leg.serving for leg in due) else 0
        ready: list[WaitingLeg] = []
        early: list[WaitingLeg] = []
        for leg in due:
            (early if must_wait_for_traces(leg, unread, now) else ready).append(leg)

        if early:
            await self._room.postpone(early, now + POSTPONE)
        if ready:
            await self._release(ready, now)
        return len(due)

    async def _release(self, ready: Sequence[WaitingLeg], now: datetime) -> None:
        served = await self._room.served(ready)
        legs = [leg for w in ready if (leg := still_to_serve(w.leg, served.get(w.id, ())))]
        try:
            await self._platform.bus.publish(*legs)
        except BusUnavailableError:
            await self._room.give_back(ready)
            raise
        await self._room.release(ready, _routed(legs, now), now)
        _note(ready, legs, served)

    async def _unread(self, due: Sequence[WaitingLeg]) -> int:
        """Return how many traces are still on their way to us, or to another ledger."""
        try:
            queues = await self._platform.bus.queues()
        except BusUnavailableError:
            await self._room.postpone(due, self._platform.clock())
            raise
        name, is_stuck = queue_of(MailTraced, ""), bool(self._storing())
        return sum(
            q.ready + q.taken - (0 if is_stuck else q.here) for q in queues if q.name == name
        )

    async def _round(self) -> float:
        """Release everything that is due; return for how many seconds there is nothing to do."""
        while await self.release_due() == AT_ONCE:
            pass
        due = await self._room.next_due()
        longest = self._tick.total_seconds()
        if due is None:
            return longest
        return min(longest, max(0.0, (due - self._platform.clock()).total_seconds()))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            pass


def _routed(legs: Sequence[MailRouted], now: datetime) -> Records:
    """Return what the timeline says of legs that are on the bus again."""
    steps = {
        (leg.envelope.id, text): Step(
            leg.envelope.id, text, Stage.ROUTED, leg.id, now, f"{leg.hop}, attempt {leg.attempt}"
        )
        for leg in legs
        for text in (str(recipient.address) for recipient in leg.envelope.recipients)
    }
    everything = tuple(steps[name] for name in sorted(steps))
    return Records(steps=everything, fates=everything)


def _note(
    ready: Sequence[WaitingLeg],
    legs: Sequence[MailRouted],
    served: Mapping[str, Collection[str]],
) -> None:
    RELEASED.inc(len(legs))
    SERVED.inc(sum(len(recipients) for recipients in served.values()))
    for leg in legs:
        maillog.note("released", leg.envelope.id, leg=leg.id)
    published = {leg.id for leg in legs}
    for gone in (w.leg for w in ready if w.id not in published):
        maillog.note("served already", gone.envelope.id, leg=gone.id)
