"""Pressure: when mail is refused before it is sent, because we could not keep it.

A breaker watches one thing that we need for every mail. It opens after some failures in a
row; then it lets one mail try now and then, and closes once one has come through.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from kernel.model.reply import Reply

TURNED_AWAY = Reply(421, "4.3.2", "Cannot take mail right now, try again later")
REFUSED = Reply(451, "4.3.2", "Cannot take mail right now, try again later")
NO_ROOM = Reply(452, "4.3.1", "No room for more mail right now, try again later")


class Cause(StrEnum):
    """What keeps us from taking mail."""

    BUS = "bus"  # it says itself that it takes nothing: out of reach, or an alarm
    PUBLISHING = "publishing"  # mails could not be published
    STORING = "storing"  # large mails could not be stored
    ROOM = "room"  # a disk is getting full
    BACKLOG = "backlog"  # those behind us are not keeping up


def refusal(causes: Collection[Cause]) -> Reply | None:
    """Return what a client hears at MAIL (RFC 5321 §4.2.3), or None."""
    if not causes:
        return None
    is_room = Cause.ROOM in causes or Cause.STORING in causes
    return NO_ROOM if is_room else REFUSED


@dataclass(frozen=True, slots=True)
class Patience:
    """What a breaker bears, in seconds.

    It opens after ``failures`` in a row that are no more than ``within`` apart. Mails try in turn
    ``pause`` after the last failure; one that is not heard of holds up the next for ``wait``.
    """

    failures: int = 3
    within: float = 60.0
    pause: float = 5.0
    wait: float = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What became of the mails since the last success.

    ``next_try`` is when one may try although it is open.
    """

    failures: tuple[float, ...] = ()
    is_open: bool = False
    next_try: float = 0.0

    def lets_in(self, now: float) -> bool:
        """Whether a mail may come in: any while it is closed, and one when it is time to try."""
        return not self.is_open or now >= self.next_try

    def trying(self, now: float, patience: Patience) -> "Breaker":
        """Return the breaker after a mail was let in."""
        return replace(self, next_try=now + patience.wait) if self.is_open else self

    def failed(self, now: float, patience: Patience) -> "Breaker":
        """Return the breaker after a failure."""
        recent = tuple(moment for moment in self.failures if now - moment <= patience.within)
        failures = (*recent, now)[-patience.failures :]
        is_open = self.is_open or len(failures) >= patience.failures
        return Breaker(failures, is_open, now + patience.pause)

    def unused(self, now: float) -> "Breaker":
        """Return the breaker after a mail that needed something else: the next one may try."""
        return replace(self, next_try=now) if self.is_open else self


def is_behind(waiting: int, limit: int, *, was_behind: bool) -> bool:
    """Whether too many events wait; it takes a fifth less to be over than to begin."""
    return bool(limit) and waiting > (limit * 4 // 5 if was_behind else limit)
