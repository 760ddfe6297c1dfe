"""Values as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from postroom.values import after, before, octets
from tests.support.mail import NOON


def test_a_length_of_time_is_counted_from_now():
    hour = timedelta(hours=1)

    assert datetime.fromisoformat(after(NOON, hour)) == NOON + hour
    assert datetime.fromisoformat(before(NOON, hour)) == NOON - hour


def test_a_point_of_time_is_in_utc_unless_it_says_otherwise():
    naive = datetime(2026, 1, 5, 12)  # noqa: DTZ001 - as people write it
    elsewhere = datetime(2026, 1, 5, 12, tzinfo=timezone(timedelta(hours=2)))

    assert datetime.fromisoformat(after(NOON, naive)) == naive.replace(tzinfo=UTC)
    assert datetime.fromisoformat(before(NOON, elsewhere)) == elsewhere


@pytest.mark.parametrize(
    ("size", "count"),
    [("1", 1), ("500MiB", 500 << 20), ("1 GB", 10**9), ("none", None), (" None ", None)],
)
def test_a_size_has_a_unit_and_may_be_none(size, count):
    assert octets(size) == count


@pytest.mark.parametrize("size", ["", "much", "5 apples"])
def test_what_is_no_size_is_not_understood(size):
    with pytest.raises(ValueError, match="is no size"):
        octets(size)
