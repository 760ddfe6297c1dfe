"""Routes accepted mail: asks where its recipients are, and sends a leg to each next hop."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

from kernel import maillog
from kernel.model.address import Address
from kernel.model.envelope import Blob, Envelope
from kernel.model.events import (
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Remote,
    Stage,
    Summary,
    Trace,
)
from kernel.model.questions import Whereabouts
from kernel.model.reply import Reply
from kernel.platform import Platform
from services.router.core.expand import Expansion, Replacement, Unknown, expand
from services.router.core.route import notices, route
from services.router.metrics import LEGS, ROUTED_AGAIN, WAITING_FOR_AUTH
from services.router.ports import Directory, DirectoryUnavailableError

SETTLING = timedelta(seconds=5)
"""How long traces of a first routing get to reach the ledger, before a second one counts."""

PERHAPS_ROUTED = Reply(451, "4.3.0", "Routed again: the first time may have come through")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
NAMED_MEMBERS = 5


@dataclass(frozen=True, slots=True)
class Router:
    """Turns each accepted mail into legs."""

    platform: Platform
    directory: Directory
    patience: timedelta = timedelta(minutes=10)

    async def accept(self, mail: MailAccepted) -> None:
        """Route ``mail``. Safe to run twice: all it emits derives from ``mail``."""
        await self._route(mail, again=False)

    async def accept_again(self, mail: MailAccepted) -> None:
        """Route ``mail``, which may have been routed before; send nothing out twice.

        A mailbox recognises a twin, another server does not. So remote legs go
        through the ledger, which leaves out whoever turns out to be routed.
        """
        ROUTED_AGAIN.inc()
        await self._route(mail, again=True)

    async def _route(self, mail: MailAccepted, *, again: bool) -> None:
        expansion = await self._expand(mail.envelope)
        if expansion is None:
            await self.platform.bus.publish(mail)
            return
        now = self.platform.clock()

        legs = route(mail.envelope, expansion.endings)
        if _is_held(mail.envelope, now):
            await self._hold(mail, expansion, legs)
            return
        unsure = [leg for leg in legs if again and isinstance(leg.hop, Remote)]
        sure = [leg for leg in legs if leg not in unsure] if unsure else legs

        await self.platform.bus.publish(
            *sure,
            *notices(mail.envelope, expansion.spread),
            *(_unless_routed(leg, now) for leg in unsure),
            _accepted(mail),
            *_expanded(mail.envelope, expansion, now),
            *_routed(sure, now),
        )
        _note(mail.envelope, expansion.replacements, legs)

    async def _hold(
        self, mail: MailAccepted, expansion: Expansion, legs: Sequence[MailRouted]
    ) -> None:
        """Let the legs wait until their sender wants them to go on (RFC 4865).

        A second time changes nothing: the ledger lets no leg wait twice.
        """
        envelope, now = mail.envelope, self.platform.clock()
        until = envelope.hold_until or now
        why = Reply(450, "4.0.0", f"Held by its sender until {until.astimezone(UTC):%FT%TZ}")
        await self.platform.bus.publish(
            *(MailDeferred(leg, until, why) for leg in legs),
            *notices(envelope, expansion.spread),
            _accepted(mail),
            *_expanded(envelope, expansion, now),
            *_held(legs, now, why),
        )
        _note(envelope, expansion.replacements, legs)

    async def _expand(self, envelope: Envelope) -> Expansion | None:
        """Return who receives the mail; ``None`` if auth stayed away for too long."""
        known = self.directory.recall(r.address for r in envelope.recipients)
        while isinstance(result := expand(envelope.recipients, known), Unknown):
            try:
                async with asyncio.timeout(self.patience.total_seconds()):
                    known |= await self._look_up(result)
            except TimeoutError:
                return None
        return result

    async def _look_up(self, unknown: Unknown) -> dict[Address, Whereabouts]:
        """Ask until there is an answer: an outage of auth must not count against the mail."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.directory.look_up(unknown.addresses)
            except DirectoryUnavailableError:
                with WAITING_FOR_AUTH.track_inprogress():
                    await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


def _unless_routed(leg: MailRouted, now: datetime) -> MailDeferred:
    return MailDeferred(leg, now + SETTLING, PERHAPS_ROUTED, unless=(Stage.ROUTED,))


def _accepted(mail: MailAccepted) -> MailTraced:
    """Tell the ledger of the mail, and who was let in by which rule, when it came."""
    envelope = mail.envelope
    content = envelope.content
    summary = Summary(
        sender=envelope.sender,
        size=envelope.size,
        origin=mail.origin,
        submitter=envelope.submitter,
        blob=content.id if isinstance(content, Blob) else "",
    )
    traces = tuple(
        Trace(recipient.address, Stage.ACCEPTED, detail=rule)
        for recipient, rule in zip(envelope.recipients, chain(mail.rules, repeat("")), strict=False)
    )
    return MailTraced(envelope.id, envelope.received_at, envelope.id, traces, summary)


def _expanded(envelope: Envelope, expansion: Expansion, now: datetime) -> Iterator[MailTraced]:
    """Tell the ledger who receives the mail in whose stead, in one breath.

    Members are accepted by the same event that ends their alias, so that the mail
    never looks as if it had ended. That event is not the one that opens the mail's
    account: when a second routing finds new members, it has to open an ended mail again.
    """
    if not expansion.replacements:
        return
    asked = {recipient.address for recipient in envelope.recipients}
    members = (e.recipient for e in expansion.endings if e.recipient.address not in asked)
    traces = [Trace(r.recipient, Stage.EXPANDED, _members(r)) for r in expansion.replacements]
    traces += [Trace(m.address, Stage.ACCEPTED, "stands for another recipient") for m in members]
    yield MailTraced(envelope.id, now, envelope.id, tuple(traces))


def _members(replacement: Replacement) -> str:
    shown = [str(member) for member in replacement.members[:NAMED_MEMBERS]]
    more = len(replacement.members) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _routed(legs: Sequence[MailRouted], now: datetime) -> Iterator[MailTraced]:
    for leg in legs:
        hop = str(leg.hop)
        traces = tuple(Trace(r.address, Stage.ROUTED, hop) for r in leg.envelope.recipients)
        yield MailTraced(leg.envelope.id, now, leg.id, traces)


def _is_held(envelope: Envelope, now: datetime) -> bool:
    return envelope.hold_until is not None and envelope.hold_until > now


def _held(legs: Sequence[MailRouted], now: datetime, why: Reply) -> Iterator[MailTraced]:
    """Tell the ledger that legs wait, by the mail's own id: no attempt has come to this."""
    for leg in legs:
        recipients = leg.envelope.recipients
        traces = tuple(Trace(r.address, Stage.DEFERRED, "held", why) for r in recipients)
        yield MailTraced(leg.envelope.id, now, leg.envelope.id, traces)


def _note(
    envelope: Envelope, replacements: Sequence[Replacement], legs: Sequence[MailRouted]
) -> None:
    for replacement in replacements:
        recipient = str(replacement.recipient)
        maillog.note("expanded", envelope.id, recipient=recipient, to=_members(replacement))
    for leg in legs:
        LEGS[type(leg.hop)].inc()
        recipients = len(leg.envelope.recipients)
        maillog.note("routed", envelope.id, hop=str(leg.hop), recipients=recipients)
