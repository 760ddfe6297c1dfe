"""When to try again, and when to give up (RFC 5321 §4.5.4.1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from kernel.model.events import MailRouted

LADDER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
GIVE_UP_AFTER = timedelta(days=5)
SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits between attempts; the last rung of the ladder repeats."""

    ladder: tuple[timedelta, ...] = LADDER
    give_up_after: timedelta = GIVE_UP_AFTER

    def is_over(self, leg: MailRouted, now: datetime) -> bool:
        """Return whether ``leg`` is too old to be tried again."""
        return now >= self._patience_ends(leg)

    def due_after(self, leg: MailRouted, now: datetime) -> datetime:
        """Return when to try again after ``leg`` was deferred.

        The last attempt falls on the moment at which the message becomes too old,
        so patience ends then and not a rung later.
        """
        rung = self.ladder[min(leg.attempt, len(self.ladder)) - 1]
        return min(now + rung * jitter(leg.id), self._patience_ends(leg))

    def _patience_ends(self, leg: MailRouted) -> datetime:
        return leg.envelope.received_at + self.give_up_after


def jitter(leg_id: str) -> float:
    """Return a factor around 1, always the same for a leg: what failed together parts."""
    chance = crc32(leg_id.encode()) / 0xFFFFFFFF
    return 1 + SPREAD * (2 * chance - 1)
