"""Logins: granted, refused, or locked out for a while after too many failures.

Failures count per login name, per client address, and for both together. Each locks out
for a time that doubles with every further failure, and is forgotten after a quiet while.
A name waits first where it was guessed: no stranger can shut it out everywhere.
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
    PAIR = "pair"


Suspect = tuple[Subject, str]
"""A login name, the address or network of a client, or both with a space between."""

WITH_A_USER_FROM_AN_ADDRESS = Patience(free=5)
WITH_A_USER = Patience(free=50)
"""More than a few addresses can spend: whoever has many must not guess for ever."""
WITH_AN_ADDRESS = Patience(free=20)
"""Many people can share an address."""
PATIENCE: Mapping[Subject, Patience] = {
    Subject.LOGIN: WITH_A_USER,
    Subject.CLIENT: WITH_AN_ADDRESS,
    Subject.PAIR: WITH_A_USER_FROM_AN_ADDRESS,
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


def counted(known: Mapping[Suspect, Failures], now: datetime) -> Mapping[Suspect, Failures]:
    """Return whose failures are how many with one more, which happened ``now``.

    Who goes on with a name that waits at an address already is counted for both together
    alone: a telephone that has an old password must not shut out its whole house.
    """
    after = {who: one_more(failures, PATIENCE[who[0]], now) for who, failures in known.items()}
    stubborn = {
        who: failures
        for who, failures in after.items()
        if who[0] is Subject.PAIR and failures.count > WITH_A_USER_FROM_AN_ADDRESS.free
    }
    return stubborn or after


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
