"""When to try again, to say that it takes long, and to give up (RFC 5321 §4.5.4.1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from kernel.model.events import MailRouted

LADDER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
GIVE_UP_AFTER = timedelta(days=5)
WARN_AFTER = timedelta(hours=4)
SPREAD = 0.1


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

    def due_after(self, leg: MailRouted, now: datetime) -> datetime:
        """Return when to try again after ``leg`` was deferred.

        The last attempt falls on the moment at which the message becomes too old,
        so patience ends then and not a rung later; and one falls on the moment at which
        its sender is warned.
        """
        rung = self.ladder[min(leg.attempt, len(self.ladder)) - 1]
        due = min(now + rung * jitter(leg.id), self.patience_ends(leg))
        warning = self._warning_is_due(leg)
        return min(due, warning) if now < warning and self.warn_after else due

    def patience_ends(self, leg: MailRouted) -> datetime:
        """Return when ``leg`` becomes too old."""
        return _began(leg) + self.give_up_after

    def _warning_is_due(self, leg: MailRouted) -> datetime:
        return _began(leg) + self.warn_after


def _began(leg: MailRouted) -> datetime:
    """Return when ``leg`` could first go on: what its sender held back was not late (RFC 4865)."""
    held = leg.envelope.hold_until
    return max(leg.envelope.received_at, held) if held else leg.envelope.received_at


def jitter(leg_id: str) -> float:
    """Return a factor around 1, always the same for a leg: what failed together parts."""
    chance = crc32(leg_id.encode()) / 0xFFFFFFFF
    return 1 + SPREAD * (2 * chance - 1)
