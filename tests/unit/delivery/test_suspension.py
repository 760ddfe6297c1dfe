from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.events import SiteSuspended
from services.delivery.core.suspension import LAPSE, Access, Rest, Suspension, access, suspended
from tests.support.mail import BUSY, NOON

MINUTE = timedelta(minutes=1)
US = {"ann", "bob", "cat"}


def notice(minutes, worker="ann"):
    return SiteSuspended("site", NOON + minutes * MINUTE, BUSY, worker)


def test_each_rest_is_twice_as_long_up_to_the_longest():
    rests = [Rest().after(times) / MINUTE for times in range(8)]

    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]
    assert Rest().after(10_000) == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("worker", "living", "minutes", "allowed"),
    [
        ("ann", US, 0, Access.WAIT),
        ("bob", US, 0, Access.WAIT),
        ("ann", US, 1, Access.PROBE),
        ("bob", US, 1, Access.LEAVE),
        ("bob", {"bob"}, 1, Access.PROBE),
        ("bob", US, 2, Access.PROBE),
    ],
    ids=["rests", "rests for all", "named", "not named", "the named one is gone", "lapsed"],
)
def test_who_may_try(worker, living, minutes, allowed):
    suspension = suspended(None, notice(1), NOON)

    now = NOON + minutes * LAPSE
    assert access(suspension, worker, living, "site", now) is allowed


@given(living=st.sets(st.sampled_from(["bob", "cat", "dan", "eve"]), min_size=1))
def test_one_alone_stands_in_for_a_worker_who_is_gone(living):
    suspension = suspended(None, notice(1), NOON)

    allowed = [access(suspension, w, living, "site", NOON + MINUTE) for w in living]

    assert allowed.count(Access.PROBE) == 1


@given(order=st.permutations([notice(1, "ann"), notice(2, "bob"), notice(2, "cat")]))
def test_all_who_hear_the_same_notices_agree(order):
    suspension = None
    for heard in order:
        suspension = suspended(suspension, heard, NOON)

    assert suspension == Suspension(NOON + 2 * MINUTE, BUSY, "cat")


def test_a_probe_that_failed_counts():
    first = suspended(None, notice(1), NOON)
    second = suspended(first, notice(3), NOON + MINUTE)

    assert second.times == 2
    assert suspended(second, notice(3), NOON + MINUTE).times == 2
