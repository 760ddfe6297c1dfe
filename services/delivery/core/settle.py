"""An attempt is over: what becomes of each recipient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.events import Hop, Local, MailRouted, Nowhere, Remote, Stage
from kernel.model.reply import Reply
from services.delivery.core.schedule import SHORT_WAIT, RetrySchedule, jitter

NO_ANSWER = Reply(451, "4.4.2", "The connection was lost before an answer came")
FAILURES = (Stage.FAILED, Stage.EXPIRED)
_SUCCESSES: dict[type[Hop], Stage] = {
    Local: Stage.DELIVERED,
    Remote: Stage.RELAYED,
    Nowhere: Stage.EXPANDED,
}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient, and the last word on it."""

    recipient: Recipient
    stage: Stage
    reply: Reply


@dataclass(frozen=True, slots=True)
class Retry:
    """Try ``leg`` when it is ``due``. ``why`` is the last word on it."""

    leg: MailRouted
    due: datetime
    why: Reply


@dataclass(frozen=True, slots=True)
class Settlement:
    """Every recipient's fate; the deferred ones are those of ``retry``."""

    fates: tuple[Fate, ...]
    retry: Retry | None = None

    @property
    def failures(self) -> tuple[Fate, ...]:
        """Those who will not get the message."""
        return tuple(fate for fate in self.fates if fate.stage in FAILURES)

    @property
    def waiting(self) -> tuple[Fate, ...]:
        """Those who will be tried again: of a leg that nobody has tried, everybody."""
        if self.retry is None:
            return ()
        deferred = tuple(fate for fate in self.fates if fate.stage is Stage.DEFERRED)
        leg, why = self.retry.leg, self.retry.why
        return deferred or tuple(Fate(r, Stage.DEFERRED, why) for r in leg.envelope.recipients)

    def told(self, fates: Sequence[Fate]) -> "Settlement":
        """Return this, once the sender has been told of ``fates``: of a delay it hears once."""
        if self.retry is None or not any(fate.stage is Stage.DEFERRED for fate in fates):
            return self
        return replace(self, retry=replace(self.retry, leg=replace(self.retry.leg, late=True)))


def settle(
    leg: MailRouted, replies: Mapping[Address, Reply], schedule: RetrySchedule, now: datetime
) -> Settlement:
    """Sort the recipients of ``leg`` into delivered, deferred and failed.

    A recipient without a reply is deferred: losing the answer must not lose the
    mail. Once the schedule gives up, whoever is still deferred has expired.
    """
    too_old = schedule.is_over(leg, now)
    fates = tuple(
        _fate(leg, recipient, replies.get(recipient.address, NO_ANSWER), too_old=too_old)
        for recipient in leg.envelope.recipients
    )
    deferred = tuple(fate for fate in fates if fate.stage is Stage.DEFERRED)
    if not deferred:
        return Settlement(fates)
    due = schedule.due_after(leg, now, (fate.reply for fate in deferred))
    return Settlement(fates, Retry(_next_attempt(leg, deferred), due, deferred[0].reply))


def postpone(
    leg: MailRouted,
    why: Reply,
    schedule: RetrySchedule,
    now: datetime,
    until: datetime | None = None,
) -> Settlement:
    """Settle a leg that nobody has tried: it comes back as it is, unless it is too old.

    That is ``until`` which it is no use, or soon; at the latest when it becomes too old. No
    attempt was made, so none is counted, and nobody has a new fate.
    """
    if schedule.is_over(leg, now):
        return Settlement(tuple(Fate(r, Stage.EXPIRED, why) for r in leg.envelope.recipients))
    due = max(until, now) if until else now + SHORT_WAIT * jitter(leg.id)
    return Settlement((), Retry(leg, min(due, schedule.patience_ends(leg)), why))


def _fate(leg: MailRouted, recipient: Recipient, reply: Reply, *, too_old: bool) -> Fate:
    if reply.is_positive:
        stage = _SUCCESSES[type(leg.hop)]
    elif reply.is_permanent:
        stage = Stage.FAILED
    else:
        stage = Stage.EXPIRED if too_old else Stage.DEFERRED
    return Fate(recipient, stage, reply)


def _next_attempt(leg: MailRouted, deferred: tuple[Fate, ...]) -> MailRouted:
    recipients = tuple(fate.recipient for fate in deferred)
    envelope = replace(leg.envelope, recipients=recipients)
    return replace(leg, envelope=envelope, attempt=leg.attempt + 1)
