"""Pace: how fast a site takes what we have for it, and when a leg that is too many comes back.

Each leg that is put off gets a moment of its own, as far from the last one as messages leave us.
So the waiting room sends about as many as can go, however many wait.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

UNKNOWN = 0.1
SOON = timedelta(milliseconds=500)
LONGEST = timedelta(minutes=5)
"""Nobody is put off for longer: sites become faster, and routes change."""
DENSITY = 0.8
"""Legs come back a little faster than they can go: a site is not to wait for us."""
LAST_RESORT = 60.0
"""Seconds that each server has that stands behind one which keeps us waiting."""
_SLOWER, _FASTER = 0.2, 0.5
"""How much one message weighs: a site that has recovered is not to wait for us."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``seconds`` is what a message takes, smoothed; the time before ``given`` is given away."""

    seconds: float | None = None
    given: datetime | None = None

    def interval(self, at_a_time: int, stuck: float = 0.0) -> float:
        """Return the seconds between two messages, with so many under way at a time.

        If none of them has ended for longer than one is thought to take, they take that long.
        """
        known = UNKNOWN if self.seconds is None else self.seconds
        return max(known, stuck) / max(1, at_a_time)


def timed(pace: Pace, seconds: float) -> Pace:
    """Return the pace after a message that took so long."""
    known = seconds if pace.seconds is None else pace.seconds
    weight = _SLOWER if seconds > known else _FASTER
    return replace(pace, seconds=known + weight * (seconds - known))


def put_off(
    pace: Pace, interval: float, now: datetime, not_before: datetime | None = None
) -> tuple[Pace, datetime]:
    """Return when a leg that is too many comes back, and the pace with that moment given away.

    What would come later than `LONGEST` after the first goes between the others.
    """
    first = max(now + SOON, not_before or now)
    step = timedelta(seconds=DENSITY * interval)
    until = first if pace.given is None else max(first, pace.given + step)
    if until - first > LONGEST:
        until = first + (until - first) % LONGEST
    return replace(pace, given=until), until


def share(left: float, others: int) -> float:
    """Return how much of the seconds ``left`` a server may take that has ``others`` behind it."""
    return max(left - others * LAST_RESORT, left / (others + 1))
