"""Makes the reports on a leg: gathers what goes back, and keeps what is too large for an event."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.blobs.port import BlobMissingError, BlobsUnavailableError, read_whole
from kernel.model.address import Address
from kernel.model.envelope import INLINE_LIMIT, Content, Envelope
from kernel.model.events import MailRouted
from kernel.platform import Platform
from services.delivery.core.report import Returned
from services.delivery.core.reporting import (
    copy_for_postmaster,
    report_to_sender,
    returns_whole,
    to_postmaster,
)
from services.delivery.core.routes import Host
from services.delivery.core.settle import Fate, Settlement
from services.delivery.core.templates import Templates
from services.delivery.core.wording import Facts

MAX_HEADERS = 65_536  # octets of an original's headers that a report returns
NOTHING = Returned(b"", whole=False)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Tells senders, and the ``postmaster`` if there is one, in the words of ``templates``."""

    platform: Platform
    templates: Templates
    postmaster: tuple[Address, ...] = ()

    def facts(self, leg: MailRouted, host: Host | None, now: datetime, until: datetime) -> Facts:
        """Return what a report on an attempt says. What waits is tried again ``until`` then."""
        ours = self.platform.settings
        return Facts(leg.envelope, ours.hostname, ours.domain, host, now, until)

    async def reports(
        self, leg: MailRouted, facts: Facts, settlement: Settlement, told: Sequence[Fate]
    ) -> tuple[Envelope, ...]:
        """Return the mail that tells of it, its content kept: to the sender what is ``told``."""
        original, reports = leg.envelope, []
        failures = to_postmaster(leg, settlement, told, self.postmaster)
        if told:
            returned = await self._returned(original, whole=returns_whole(original, told))
            reports.append(report_to_sender(leg, facts, told, returned, self.templates))
        if failures:
            headers = await self._returned(original, whole=False)
            copy = (leg, facts, failures, headers, self.templates)
            reports.append(copy_for_postmaster(*copy, to=self.postmaster))
        return tuple([await self._kept(report) for report in reports])

    async def _kept(self, report: Envelope) -> Envelope:
        if report.size <= INLINE_LIMIT:
            return report
        blob = await self.platform.blobs.put(report.id, _one_chunk(report.content))
        return replace(report, content=blob)

    async def _returned(self, original: Envelope, *, whole: bool) -> Returned:
        """Return what goes back; nothing if it cannot be read: the remotes have answered by now."""
        try:
            if whole:
                return Returned(await read_whole(original.content, self.platform.blobs), whole=True)
            return Returned(await self._headers(original.content), whole=False)
        except (BlobMissingError, BlobsUnavailableError):
            return NOTHING

    async def _headers(self, content: Content) -> bytes:
        if isinstance(content, bytes):
            return content.partition(b"\r\n\r\n")[0]
        octets = b""
        async for chunk in self.platform.blobs.read(content.id):
            octets += chunk
            if b"\r\n\r\n" in octets or len(octets) > MAX_HEADERS:
                break
        return octets.partition(b"\r\n\r\n")[0][:MAX_HEADERS]


async def _one_chunk(content: Content) -> AsyncIterator[bytes]:
    assert isinstance(content, bytes)  # noqa: S101 - a report is made inline
    yield content
