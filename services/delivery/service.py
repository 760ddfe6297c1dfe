"""Carries legs over their hops, and hands on whatever is left of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from kernel import maillog
from kernel.blobs.port import BlobMissingError, BlobsUnavailableError, read_whole
from kernel.model.envelope import INLINE_LIMIT, Content, Envelope
from kernel.model.events import Hop, MailRouted, Remote, Work
from kernel.model.reply import Reply
from kernel.model.sending import Route
from kernel.platform import Platform
from services.delivery.core.bounce import bounce, returns_whole, to_report
from services.delivery.core.consequences import consequences, doubt
from services.delivery.core.report import Facts, Returned
from services.delivery.core.routes import Host
from services.delivery.core.schedule import RetrySchedule, schedule_for
from services.delivery.core.settle import Fate, Settlement, postpone, settle
from services.delivery.memory import Memory
from services.delivery.metrics import count
from services.delivery.ports import Carried, Courier, Later

LONGEST_ATTEMPT = timedelta(minutes=10)
TOOK_TOO_LONG = Reply(451, "4.4.7", "The attempt took too long")
NO_CONTENT = Reply(451, "4.3.0", "The content of the message cannot be read now")
MAX_HEADERS = 65_536  # octets of an original's headers that a report returns


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carries legs. All it emits derives from the leg, so twice is as good as once.

    ``schedule`` holds where none of the ``routes``, as they stand now, says otherwise.
    """

    platform: Platform
    couriers: Mapping[type[Hop], Courier]
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
        if isinstance(result, Later):
            settlement, host = postpone(leg, result.why, schedule, now, result.until), None
        else:
            settlement, host = settle(leg, result.replies, schedule, now), result.host
        report = await self._report(leg, settlement.failures, host, now)

        _note(leg, settlement, host, now)
        events = consequences(leg, settlement, host, report, now)
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

    async def _report(
        self, leg: MailRouted, failures: tuple[Fate, ...], host: Host | None, now: datetime
    ) -> Envelope | None:
        """Return the mail that tells the sender of ``failures``, its content kept; or nothing."""
        told = to_report(leg, failures)
        if not told:
            return None
        settings = self.platform.settings
        facts = Facts(leg.envelope, settings.hostname, settings.domain, host, now)
        envelope = bounce(leg, facts, told, await self._returned(leg.envelope))
        if envelope.size > INLINE_LIMIT:
            blob = await self.platform.blobs.put(envelope.id, _one_chunk(envelope.content))
            envelope = replace(envelope, content=blob)
        return envelope

    async def _returned(self, original: Envelope) -> Returned:
        """Return what goes back; nothing if it cannot be read: the remotes have answered by now."""
        try:
            if returns_whole(original):
                return Returned(await read_whole(original.content, self.platform.blobs), whole=True)
            return Returned(await self._headers(original.content), whole=False)
        except (BlobMissingError, BlobsUnavailableError):
            return Returned(b"", whole=False)

    async def _headers(self, content: Content) -> bytes:
        if isinstance(content, bytes):
            return content.partition(b"\r\n\r\n")[0]
        octets = b""
        async for chunk in self.platform.blobs.read(content.id):
            octets += chunk
            if b"\r\n\r\n" in octets or len(octets) > MAX_HEADERS:
                break
        return octets.partition(b"\r\n\r\n")[0][:MAX_HEADERS]


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


async def _one_chunk(content: Content) -> AsyncIterator[bytes]:
    assert isinstance(content, bytes)  # noqa: S101 - `bounce` makes it inline
    yield content
