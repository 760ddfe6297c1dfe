"""Logins: granted, refused, or locked out for a while after too many failures.

Failures count per login name and per client address. Both lock out for a time
that doubles with every further failure, and are forgotten after a quiet while.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.model.questions import LoginVerdict
from services.auth.core.directory import User


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures are free, and how the lockout grows after them."""

    free: int
    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(minutes=15)
    memory: timedelta = timedelta(hours=1)


class Subject(StrEnum):
    """Whose failures are counted."""

    LOGIN = "login"
    CLIENT = "client"


Suspect = tuple[Subject, str]
"""A login name, or the address or network of a client."""

WITH_A_USER = Patience(free=5)
WITH_AN_ADDRESS = Patience(free=20)
"""Many people can share an address."""
PATIENCE: Mapping[Subject, Patience] = {
    Subject.LOGIN: WITH_A_USER,
    Subject.CLIENT: WITH_AN_ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Failures:
    """How often it went wrong, and when it last did."""

    count: int
    last: datetime

    def locked_until(self, patience: Patience) -> datetime:
        """Return until when no password is even looked at."""
        excess = self.count - patience.free
        if excess < 0:
            return self.last
        return self.last + min(patience.first * (1 << min(excess, 30)), patience.longest)

    def are_forgotten(self, patience: Patience, now: datetime) -> bool:
        """Whether it is so long ago that it no longer counts."""
        return now - self.last >= patience.memory


def one_more(failures: Failures | None, patience: Patience, now: datetime) -> Failures:
    """Return ``failures`` and one more, which happened ``now``."""
    if failures is None or failures.are_forgotten(patience, now):
        return Failures(1, now)
    return Failures(failures.count + 1, now)


def is_locked(failures: Failures | None, patience: Patience, now: datetime) -> bool:
    """Whether so many failures forbid a further try now."""
    return failures is not None and now < failures.locked_until(patience)


def judge(user: User | None, *, correct: bool, locked: bool) -> LoginVerdict:
    """Return the verdict on a login: a lockout comes before everything, and hides it."""
    if locked:
        return LoginVerdict.LOCKED
    if correct and user is not None and not user.disabled:
        return LoginVerdict.GRANTED
    return LoginVerdict.REFUSED
