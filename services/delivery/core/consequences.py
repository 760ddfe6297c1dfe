"""What the other services are told after an attempt."""

from collections.abc import Sequence
from datetime import datetime

from kernel.model.envelope import Envelope
from kernel.model.events import (
    OUTCOMES,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Stage,
    Trace,
    Work,
)
from kernel.model.reply import Reply
from services.delivery.core.routes import Host
from services.delivery.core.schedule import wait_in_doubt
from services.delivery.core.settle import Fate, Retry, Settlement

UNCERTAIN = Reply(451, "4.3.0", "The worker that had this in hand has gone")


def consequences(
    leg: MailRouted,
    settlement: Settlement,
    host: Host | None,
    reports: Sequence[Envelope],
    now: datetime,
) -> tuple[Work, ...]:
    """Return the reports and what is to be tried again, and after them the traces.

    What is lost on the way to the bus takes along what comes after it: a trace
    that is there vouches for the work.
    """
    events: list[Work] = [MailAccepted(r, origin=f"report on {leg.id}") for r in reports]
    if settlement.retry is not None:
        events.append(_deferral(leg, settlement.retry))
    if settlement.fates:
        traces = tuple(_trace(fate, settlement, host) for fate in settlement.fates)
        events.append(MailTraced(leg.envelope.id, now, leg.id, traces))
    return tuple(events)


def _deferral(leg: MailRouted, retry: Retry) -> MailDeferred:
    """Return the deferral of what is left of ``leg``.

    A leg that nobody has tried goes back under the name under which it may have waited
    before. The ledger would take it for a twin of its former stay and drop it, so it goes
    back in doubt, like everything that returns.
    """
    unless = OUTCOMES if retry.leg.id == leg.id else ()
    return MailDeferred(retry.leg, retry.due, retry.why, unless)


def doubt(leg: MailRouted, now: datetime) -> MailDeferred:
    """Return the deferral of a leg of which nobody knows how far it came.

    Once the traces are in, the ledger leaves out whoever was served.
    """
    return MailDeferred(leg, now + wait_in_doubt(leg, now), UNCERTAIN, unless=OUTCOMES)


def _trace(fate: Fate, settlement: Settlement, host: Host | None) -> Trace:
    detail = str(host or "")
    if fate.stage is Stage.DEFERRED and settlement.retry is not None:
        detail = f"next attempt at {settlement.retry.due.isoformat(timespec='milliseconds')}"
    return Trace(fate.recipient.address, fate.stage, detail, fate.reply)
