"""Carries legs over their hops, and hands on whatever is left of them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from kernel import maillog
from kernel.blobs.port import BlobMissingError, BlobsUnavailableError
from kernel.model.events import Hop, MailRouted, Remote, Work
from kernel.model.reply import Reply
from kernel.model.sending import Route
from kernel.platform import Platform
from services.delivery.core.consequences import consequences, doubt
from services.delivery.core.reporting import to_report
from services.delivery.core.routes import Host
from services.delivery.core.schedule import RetrySchedule, schedule_for
from services.delivery.core.settle import Settlement, postpone, settle
from services.delivery.memory import Memory
from services.delivery.metrics import count
from services.delivery.ports import Carried, Courier, Later
from services.delivery.reporter import Reporter

LONGEST_ATTEMPT = timedelta(minutes=10)
TOOK_TOO_LONG = Reply(451, "4.4.7", "The attempt took too long")
NO_CONTENT = Reply(451, "4.3.0", "The content of the message cannot be read now")
NOT_TRIED = Carried({})


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carries legs. All it emits derives from the leg, so twice is as good as once.

    ``schedule`` holds where none of the ``routes``, as they stand now, says otherwise.
    """

    platform: Platform
    couriers: Mapping[type[Hop], Courier]
    reporter: Reporter
    schedule: RetrySchedule
    routes: Callable[[], tuple[Route, ...]] = tuple
    longest_attempt: timedelta = LONGEST_ATTEMPT
    memory: Memory = field(default_factory=Memory)

    async def attempt(self, leg: MailRouted) -> None:
        """Try ``leg`` once, unless this worker has done so."""
        await self.memory.once(leg, partial(self._attempt, leg))

    async def recover(self, leg: MailRouted) -> None:
        """Take a leg that a worker may have tried before it vanished.

        A mailbox recognises its twin, a remote server does not: a remote leg waits
        until the timeline tells who was served.
        """
        work = self._doubt if isinstance(leg.hop, Remote) else self._attempt
        await self.memory.once(leg, partial(work, leg))

    async def _attempt(self, leg: MailRouted) -> None:
        unsaid = self.memory.unsaid(leg)
        if unsaid:
            await self._say(leg, unsaid)
            return

        result = await self._carry(leg)

        now = self.platform.clock()
        schedule = schedule_for(leg.hop, self.routes(), self.schedule)
        settlement = _settled(leg, result, schedule, now)
        carried = result if isinstance(result, Carried) else NOT_TRIED
        late = schedule.is_late(leg, now)
        told = to_report(leg, settlement, late=late, passed_dsn=carried.passed_dsn)
        until = schedule.patience_ends(leg)
        facts = self.reporter.facts(leg, carried.host, now, until, tried=carried is result)
        reports = await self.reporter.reports(leg, facts, settlement, told)

        _note(leg, settlement, carried.host, now)
        events = consequences(leg, settlement.told(told), carried.host, reports, now)
        if settlement.fates:
            await self._say(leg, events)
        else:
            await self.platform.bus.publish(*events)

    async def _doubt(self, leg: MailRouted) -> None:
        events = self.memory.unsaid(leg)
        if events:
            await self._say(leg, events)
        else:
            await self.platform.bus.publish(doubt(leg, self.platform.clock()))

    async def _carry(self, leg: MailRouted) -> Carried | Later:
        """Try within bounds: the bus takes a leg back from a worker that holds it for too long.

        That the blob store is away is nobody's fault: the leg waits for it as for a remote.
        One for a remote whose content is missing waits too, until its sender is told: in
        doubt after every failure, it would never fail often enough to be parked.
        """
        try:
            async with asyncio.timeout(self.longest_attempt.total_seconds()) as limit:
                return await self.couriers[type(leg.hop)].carry(leg)
        except TimeoutError:
            if not limit.expired():
                raise
            return _for_all(leg, TOOK_TOO_LONG)
        except BlobsUnavailableError:
            return _for_all(leg, NO_CONTENT)
        except BlobMissingError:
            if not isinstance(leg.hop, Remote):
                raise
            return _for_all(leg, NO_CONTENT)

    async def _say(self, leg: MailRouted, events: tuple[Work, ...]) -> None:
        """Publish the outcome; if that fails, keep it, so that nobody is served twice for it."""
        try:
            await self.platform.bus.publish(*events)
        except BaseException:
            self.memory.leave_unsaid(leg, events)
            raise
        self.memory.settle(leg)


def _settled(
    leg: MailRouted, result: Carried | Later, schedule: RetrySchedule, now: datetime
) -> Settlement:
    if isinstance(result, Later):
        return postpone(leg, result.why, schedule, now, result.until)
    return settle(leg, result.replies, schedule, now)


def _for_all(leg: MailRouted, reply: Reply) -> Carried:
    return Carried({recipient.address: reply for recipient in leg.envelope.recipients})


def _note(leg: MailRouted, settlement: Settlement, host: Host | None, now: datetime) -> None:
    """Write a line for each recipient, and count."""
    seconds = round((now - leg.envelope.received_at).total_seconds(), 3)
    for fate in settlement.fates:
        count(fate.stage)
        maillog.note(
            fate.stage.value,
            leg.envelope.id,
            to=str(fate.recipient.address),
            relay=str(host or ""),
            delay=seconds,
            attempt=leg.attempt,
            reply=str(fate.reply),
        )
