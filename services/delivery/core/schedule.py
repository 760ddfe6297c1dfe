"""When to try again, to say that it takes long, and to give up (RFC 5321 §4.5.4.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from kernel.model.events import Hop, MailRouted, Remote
from kernel.model.reply import Reply
from kernel.model.sending import Route, route_for
from services.delivery.core.greylisting import wait_asked_for

LADDER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
GIVE_UP_AFTER = timedelta(days=5)
WARN_AFTER = timedelta(hours=4)
SPREAD = 0.1
FIRST_STEPS = 3
"""So many attempts a server may put off that only wants to see whether we come again."""
SHORT_WAIT, LONGEST_DOUBT = timedelta(seconds=5), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits between attempts; the last rung of the ladder repeats.

    After ``warn_after`` the sender may hear that its message still waits; nought is never.
    """

    ladder: tuple[timedelta, ...] = LADDER
    give_up_after: timedelta = GIVE_UP_AFTER
    warn_after: timedelta = WARN_AFTER

    def is_over(self, leg: MailRouted, now: datetime) -> bool:
        """Return whether ``leg`` is too old to be tried again."""
        return now >= self.patience_ends(leg)

    def is_late(self, leg: MailRouted, now: datetime) -> bool:
        """Return whether it is time to say of ``leg`` that it waits, and nobody has said so."""
        return bool(self.warn_after) and not leg.late and now >= self._warning_is_due(leg)

    def due_after(self, leg: MailRouted, now: datetime, replies: Iterable[Reply] = ()) -> datetime:
        """Return when to try again after ``leg`` was deferred with ``replies``.

        The last attempt falls on the moment at which the message becomes too old,
        so patience ends then and not a rung later; and one falls on the moment at which
        its sender is warned.
        """
        asked = max((wait for r in replies if (wait := wait_asked_for(r))), default=None)
        due = min(now + self._wait(leg, asked), self.patience_ends(leg))
        warning = self._warning_is_due(leg)
        return min(due, warning) if now < warning and self.warn_after else due

    def _wait(self, leg: MailRouted, asked: timedelta | None) -> timedelta:
        """Return the rung of the ladder; or what was ``asked`` for, and never less than that.

        Who comes early to a server that greylists may have to begin again. Later attempts
        go by the ladder: whoever still asks for five minutes then has something else in mind.
        """
        rung = self.ladder[min(leg.attempt, len(self.ladder)) - 1]
        if asked is None or (leg.attempt > FIRST_STEPS and rung > asked):
            return rung * jitter(leg.id)
        return asked * (jitter(leg.id) + SPREAD)

    def patience_ends(self, leg: MailRouted) -> datetime:
        """Return when ``leg`` becomes too old."""
        return _began(leg) + self.give_up_after

    def _warning_is_due(self, leg: MailRouted) -> datetime:
        return _began(leg) + self.warn_after


def _began(leg: MailRouted) -> datetime:
    """Return when ``leg`` could first go on: what its sender held back was not late (RFC 4865)."""
    held = leg.envelope.hold_until
    return max(leg.envelope.received_at, held) if held else leg.envelope.received_at


def schedule_for(hop: Hop, routes: tuple[Route, ...], otherwise: RetrySchedule) -> RetrySchedule:
    """Return the schedule of the route that covers ``hop``; what it leaves open is as otherwise."""
    route = route_for(hop.domain, routes) if isinstance(hop, Remote) else None
    if route is None:
        return otherwise
    give_up, warn = route.give_up_after, route.warn_after
    return RetrySchedule(
        route.retry or otherwise.ladder,
        otherwise.give_up_after if give_up is None else give_up,
        otherwise.warn_after if warn is None else warn,
    )


def wait_in_doubt(leg: MailRouted, now: datetime) -> timedelta:
    """Return how long a leg waits whose worker has gone while it had it in hand.

    Perhaps it was just being dialled for, perhaps the leg is what kills workers. A tenth of
    the time for which it has been on its way: however often that happens, the pauses grow.
    """
    age = (now - leg.envelope.received_at) / 10
    return min(max(age, SHORT_WAIT), LONGEST_DOUBT) * jitter(leg.id)


def jitter(leg_id: str) -> float:
    """Return a factor around 1, always the same for a leg: what failed together parts."""
    chance = crc32(leg_id.encode()) / 0xFFFFFFFF
    return 1 + SPREAD * (2 * chance - 1)
