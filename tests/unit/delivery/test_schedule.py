from dataclasses import replace
from datetime import timedelta

import pytest

from services.delivery.core.schedule import LADDER, SPREAD, RetrySchedule, jitter
from tests.support.mail import A_WEEK_LATER, AN_HOUR_LATER, BOB, NOON, make_leg

SCHEDULE = RetrySchedule()


@pytest.mark.parametrize(
    ("attempt", "minutes"),
    [(1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 240), (8, 240), (40, 240)],
)
def test_each_attempt_waits_its_rung_and_the_last_rung_repeats(attempt, minutes):
    leg = make_leg(BOB, attempt=attempt)

    wait = SCHEDULE.due_after(leg, NOON) - NOON

    assert abs(wait / timedelta(minutes=minutes) - 1) <= SPREAD


def test_the_same_leg_is_always_due_at_the_same_moment():
    assert SCHEDULE.due_after(make_leg(BOB), NOON) == SCHEDULE.due_after(make_leg(BOB), NOON)


def test_what_failed_together_parts():
    factors = {jitter(f"mail{n}/remote:elsewhere.test/1") for n in range(100)}

    assert len(factors) > 90
    assert all(1 - SPREAD <= factor <= 1 + SPREAD for factor in factors)


@pytest.mark.parametrize(
    ("now", "over"),
    [(AN_HOUR_LATER, False), (A_WEEK_LATER, True)],
    ids=["an hour later", "a week later"],
)
def test_patience_ends(now, over):
    assert SCHEDULE.is_over(make_leg(BOB), now) is over


def test_the_last_attempt_falls_on_the_end_of_patience():
    schedule = RetrySchedule(LADDER, give_up_after=timedelta(seconds=30))

    due = schedule.due_after(make_leg(BOB), NOON)

    assert due == NOON + timedelta(seconds=30)
    assert schedule.is_over(make_leg(BOB), due)


@pytest.mark.parametrize(
    ("warn_after", "waited", "told", "late"),
    [
        (4, 3, False, False),
        (4, 4, False, True),
        (4, 5, False, True),
        (4, 5, True, False),
        (0, 5, False, False),
    ],
    ids=["not yet", "now", "overdue", "told already", "never"],
)
def test_the_sender_is_warned_once(warn_after, waited, told, late):
    schedule = RetrySchedule(warn_after=timedelta(hours=warn_after))
    leg = replace(make_leg(BOB), late=told)

    assert schedule.is_late(leg, NOON + timedelta(hours=waited)) is late


def test_an_attempt_falls_on_the_moment_of_the_warning():
    now = NOON + timedelta(hours=3, minutes=51)

    assert SCHEDULE.due_after(make_leg(BOB, attempt=7), now) == NOON + timedelta(hours=4)
    after = SCHEDULE.due_after(make_leg(BOB, attempt=7), NOON + timedelta(hours=4))
    assert after > NOON + timedelta(hours=7)


def test_what_its_sender_held_back_is_not_late_for_that():
    held_until = NOON + timedelta(days=6)
    leg = make_leg(BOB)
    held = replace(leg, envelope=replace(leg.envelope, hold_until=held_until))

    assert not SCHEDULE.is_late(held, held_until)
    assert not SCHEDULE.is_over(held, held_until + timedelta(days=4))
    assert SCHEDULE.is_over(held, held_until + timedelta(days=5))
