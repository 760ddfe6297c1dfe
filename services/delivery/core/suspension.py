"""Suspension: a site that is down is left alone by all workers, and tried by one.

Who suspends it tries it, once the time has come, with one message. If that worker is gone by
then, another does it whom all agree on. Notices can be missed: what was not heard of is found
out by trying, and a suspension of which nothing more is heard lapses.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.model.events import SiteSuspended
from kernel.model.reply import Reply
from services.delivery.core.sharing import first_of

LAPSE = timedelta(minutes=1)
"""How long the others leave it to the worker that is to try the site."""


class Access(StrEnum):
    """What a worker may do about a site that is suspended."""

    WAIT = "wait"  # nobody is to try it yet
    LEAVE = "leave"  # somebody else tries it now
    PROBE = "probe"  # try it, with one message


@dataclass(frozen=True, slots=True)
class Suspension:
    """``times`` counts suspensions in a row."""

    until: datetime
    why: Reply
    worker: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Rest:
    """How long a site is left alone: ``first``, and then ever twice as long."""

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(minutes=30)

    def after(self, times: int) -> timedelta:
        """Return the rest when it was suspended so many times before, without a success since."""
        return min(self.first * (1 << min(times, 30)), self.longest)


def suspended(before: Suspension | None, notice: SiteSuspended, now: datetime) -> Suspension:
    """Return what holds once ``notice`` is heard.

    Of two that were sent at once, the later end counts, for all who hear both.
    """
    heard = Suspension(notice.until, notice.why, notice.worker)
    if before is None:
        return heard
    if before.until <= now:
        return replace(heard, times=before.times + 1)
    return max(before, replace(heard, times=before.times), key=lambda s: (s.until, s.worker))


def access(
    suspension: Suspension, worker: str, workers: Collection[str], site: str, now: datetime
) -> Access:
    """Return what ``worker`` may do; ``workers`` are those who live, itself included."""
    if now < suspension.until:
        return Access.WAIT
    named = suspension.worker
    chosen = named if named in workers else first_of(site, {*workers, worker})
    lapsed = now >= suspension.until + LAPSE
    return Access.PROBE if chosen == worker or lapsed else Access.LEAVE
