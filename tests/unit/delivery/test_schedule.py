from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.model.events import Local, Remote
from kernel.model.reply import Reply
from kernel.model.sending import Route
from services.delivery.core.schedule import (
    LADDER,
    SPREAD,
    RetrySchedule,
    jitter,
    schedule_for,
    wait_in_doubt,
)
from tests.support.mail import A_WEEK_LATER, AN_HOUR_LATER, BOB, BUSY, NOON, make_leg

GREYLISTED = Reply(451, "4.7.1", "Greylisted, try again later")
IN_TWO_MINUTES = Reply(450, "4.7.1", "Greylisted, try again in 120 seconds")

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


@pytest.mark.parametrize(
    ("attempt", "replies", "minutes"),
    [
        (1, [GREYLISTED], 5),
        (1, [IN_TWO_MINUTES], 2),
        (2, [IN_TWO_MINUTES], 2),
        (3, [GREYLISTED], 5),
        (1, [BUSY, IN_TWO_MINUTES, GREYLISTED], 5),
        (4, [GREYLISTED], 30),
    ],
)
def test_a_server_that_greylists_has_its_wait_and_no_longer_one(attempt, replies, minutes):
    wait = SCHEDULE.due_after(make_leg(BOB, attempt=attempt), NOON, replies) - NOON

    least = 1 if attempt <= 3 else 1 - SPREAD
    assert least <= wait / timedelta(minutes=minutes) <= 1 + 2 * SPREAD


ROUTES = (
    Route("slow.test", retry=(timedelta(hours=1),), give_up_after=timedelta(hours=8)),
    Route(".slow.test", warn_after=timedelta(0)),
    Route("*", give_up_after=timedelta(days=1)),
)


@pytest.mark.parametrize(
    ("hop", "schedule"),
    [
        (Remote("slow.test"), RetrySchedule((timedelta(hours=1),), timedelta(hours=8))),
        (Remote("a.slow.test"), RetrySchedule(warn_after=timedelta(0))),
        (Remote("elsewhere.test"), RetrySchedule(give_up_after=timedelta(days=1))),
        (Local(), RetrySchedule()),
    ],
    ids=str,
)
def test_the_first_route_that_covers_a_domain_has_its_schedule(hop, schedule):
    assert schedule_for(hop, ROUTES, RetrySchedule()) == schedule


def test_a_leg_that_kills_its_workers_dials_ever_more_seldom():
    moment, dials = NOON, 0
    while moment < NOON + timedelta(days=1):
        dials += 1
        moment += wait_in_doubt(make_leg(BOB), moment)

    assert dials < 250
    assert timedelta(seconds=4) < wait_in_doubt(make_leg(BOB), NOON) < timedelta(seconds=6)
