"""A waiting leg is due: who of it is still to be served, and whether that can be told yet."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kernel.model.events import OUTCOMES, MailRouted, Stage

POSTPONE = timedelta(seconds=2)
PATIENCE = timedelta(minutes=5)
"""How long a leg in doubt waits for traces that are still on the bus."""


@dataclass(frozen=True, slots=True)
class WaitingLeg:
    """A leg that stands in the waiting room, and has been taken out to be released.

    ``since`` is when it came in. ``takes`` counts how often it was taken out: a
    second time means that a ledger vanished, or the bus did not answer, in between.
    ``lease`` names the right to release it.
    """

    leg: MailRouted
    since: datetime
    unless: tuple[Stage, ...] = ()
    takes: int = 1
    lease: str = ""

    @property
    def id(self) -> str:
        """The id of the leg."""
        return self.leg.id

    @property
    def serving(self) -> tuple[Stage, ...]:
        """The stages that show that a recipient has been served; none if there is no doubt.

        An outcome always does: the trace of the routing before it may have been lost.
        """
        if self.takes == 1 and not self.unless:
            return ()
        return tuple(dict.fromkeys((*self.unless, *OUTCOMES)))


def must_wait_for_traces(waiting: WaitingLeg, unread: int, now: datetime) -> bool:
    """Whether ``unread`` traces may yet tell that recipients of a leg in doubt were served.

    Not for ever: a queue that never empties must not keep mail from being sent.
    """
    return bool(waiting.serving) and unread > 0 and now < waiting.since + PATIENCE


def still_to_serve(leg: MailRouted, served: Collection[str]) -> MailRouted | None:
    """Return ``leg`` without the recipients ``served``; ``None`` if nobody is left."""
    everyone = leg.envelope.recipients
    left = tuple(r for r in everyone if str(r.address) not in served)
    if len(left) == len(everyone):
        return leg
    return replace(leg, envelope=replace(leg.envelope, recipients=left)) if left else None
