"""Verdicts on logins, and lockouts that grow."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.questions import LoginVerdict
from services.auth.core.directory import User
from services.auth.core.login import Failures, Patience, is_locked, judge, one_more
from tests.support.mail import ANN, NOON

USER = User("ann", ANN)
PATIENCE = Patience(free=3)


@pytest.mark.parametrize(
    ("user", "correct", "locked", "verdict"),
    [
        (USER, True, False, LoginVerdict.GRANTED),
        (USER, False, False, LoginVerdict.REFUSED),
        (None, False, False, LoginVerdict.REFUSED),
        (None, True, False, LoginVerdict.REFUSED),
        (User("ann", ANN, disabled=True), True, False, LoginVerdict.REFUSED),
        (USER, True, True, LoginVerdict.LOCKED),
        (None, False, True, LoginVerdict.LOCKED),
    ],
)
def test_verdicts(user, correct, locked, verdict):
    assert judge(user, correct=correct, locked=locked) is verdict


def failed(times):
    failures = None
    for _ in range(times):
        failures = one_more(failures, PATIENCE, NOON)
    return failures


@pytest.mark.parametrize(
    ("times", "seconds"), [(0, 0), (1, 0), (2, 0), (3, 5), (4, 10), (5, 20), (6, 40), (99, 900)]
)
def test_a_lockout_doubles_with_every_failure(times, seconds):
    end = NOON + timedelta(seconds=seconds)
    just_before = max(NOON, end - timedelta(milliseconds=1))

    assert is_locked(failed(times), PATIENCE, just_before) is (seconds > 0)
    assert not is_locked(failed(times), PATIENCE, end)


def test_failures_are_forgotten_after_a_quiet_hour():
    later = NOON + timedelta(hours=1)

    assert one_more(failed(99), PATIENCE, later) == Failures(1, later)


@given(st.integers(1, 10_000_000), st.integers(0, 3600))
def test_nobody_is_locked_out_for_ever(count, seconds):
    end = NOON + PATIENCE.longest

    assert not is_locked(Failures(count, NOON), PATIENCE, end + timedelta(seconds=seconds))
