from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.core.pace import (
    DENSITY,
    LAST_RESORT,
    LONGEST,
    SOON,
    Pace,
    put_off,
    share,
    timed,
)
from tests.support.mail import AN_HOUR_LATER, NOON


def times(pace, interval, count, not_before=None, every=0.0):
    found = []
    for number in range(count):
        now = NOON + timedelta(seconds=every * number)
        pace, until = put_off(pace, interval, now, not_before)
        found.append(until)
    return found


def test_the_surplus_comes_back_as_fast_as_it_can_go():
    first, second, third = times(Pace(), 10.0, 3)

    assert first == NOON + SOON
    assert second - first == third - second == timedelta(seconds=10 * DENSITY)


def test_nobody_is_given_a_moment_that_another_has_though_time_goes_by():
    due = times(Pace(), 1.0, 100, every=0.01)

    assert all(b - a >= timedelta(seconds=DENSITY) for a, b in pairwise(due))


def test_who_must_wait_comes_back_one_after_the_other_from_then_on():
    first, second = times(Pace(), 10.0, 2, not_before=AN_HOUR_LATER)

    assert first == AN_HOUR_LATER
    assert second == AN_HOUR_LATER + timedelta(seconds=10 * DENSITY)


def test_a_long_queue_is_spread_over_the_longest_wait():
    due = times(Pace(), 1.5, 10_000)

    per_second = len(due) / LONGEST.total_seconds()
    busiest = max(
        sum(NOON + timedelta(seconds=s) <= d < NOON + timedelta(seconds=s + 10) for d in due)
        for s in range(0, 300, 10)
    )
    assert busiest <= 1.5 * 10 * per_second


def test_the_pace_follows_what_messages_take():
    pace = timed(Pace(), 30.0)
    assert pace.interval(20) == 1.5

    for _ in range(50):
        pace = timed(pace, 1.0)
    assert 0.9 < pace.interval(1) < 1.1


def test_a_site_from_which_nothing_comes_is_as_slow_as_that():
    assert Pace().interval(5, stuck=20.0) == 4.0
    assert timed(Pace(), 30.0).interval(5, stuck=20.0) == 6.0


@given(
    interval=st.floats(0, 10_000),
    count=st.integers(1, 50),
    wait=st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_nobody_comes_early_or_waits_for_ever(interval, count, wait):
    for until in times(Pace(), interval, count, not_before=NOON + wait):
        assert NOON + max(wait, SOON) <= until <= NOON + max(wait, SOON) + LONGEST


@pytest.mark.parametrize(
    ("left", "others", "part"),
    [
        (480.0, 0, 480.0),
        (480.0, 1, 480.0 - LAST_RESORT),
        (480.0, 3, 480.0 - 3 * LAST_RESORT),
        (480.0, 9, 48.0),
        (60.0, 2, 20.0),
    ],
)
def test_a_server_leaves_those_behind_it_their_time(left, others, part):
    assert share(left, others) == part


@given(st.floats(0, 1_000), st.integers(0, 20))
def test_all_servers_together_take_no_more_than_there_is(left, others):
    for behind in reversed(range(others + 1)):
        part = share(left, behind)
        assert part >= 0
        left -= part
        assert left >= -1e-6
        left = max(0.0, left)
