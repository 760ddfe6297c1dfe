"""Makes the reports on a leg: gathers what goes back, and keeps what is too large for an event."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

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

    def facts(
        self, leg: MailRouted, host: Host | None, now: datetime, until: datetime, *, tried: bool
    ) -> Facts:
        """Return what a report on an attempt says. What waits is tried again ``until`` then."""
        ours = self.platform.settings
        return Facts(leg.envelope, ours.hostname, ours.domain, host, now, until, tried)

    async def reports(
        self, leg: MailRouted, facts: Facts, settlement: Settlement, told: Sequence[Fate]
    ) -> tuple[Envelope, ...]:
        """Return the mail that tells of it, its content kept: to the sender what is ``told``."""
        reports = []
        if told:
            write = partial(report_to_sender, leg, facts, told, templates=self.templates)
            whole = returns_whole(leg.envelope, told)
            reports.append(await self._written(write, leg.envelope, whole=whole))
        if failures := to_postmaster(leg, settlement, told, self.postmaster):
            write = partial(
                copy_for_postmaster,
                leg,
                facts,
                failures,
                templates=self.templates,
                to=self.postmaster,
            )
            reports.append(await self._written(write, leg.envelope, whole=False))
        return tuple(reports)

    async def _written(
        self, write: Callable[[Returned], Envelope], original: Envelope, *, whole: bool
    ) -> Envelope:
        """Return a report, with as much of the original as can be read and kept now.

        It is never missing: the remotes have answered by now, and must not be asked again.
        """
        try:
            return await self._kept(write(await self._returned(original, whole=whole)))
        except BlobsUnavailableError:
            return write(NOTHING)

    async def _kept(self, report: Envelope) -> Envelope:
        if report.size <= INLINE_LIMIT:
            return report
        blob = await self.platform.blobs.put(report.id, _one_chunk(report.content))
        return replace(report, content=blob)

    async def _returned(self, original: Envelope, *, whole: bool) -> Returned:
        try:
            if whole:
                return Returned(await read_whole(original.content, self.platform.blobs), whole=True)
            return Returned(await self._headers(original.content), whole=False)
        except BlobMissingError:
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
