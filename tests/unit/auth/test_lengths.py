"""Lengths of time as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.lengths import LONGEST, BadLengthError, parse_length, spelled


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("4h", 14_400), ("5d", 432_000)]
)
def test_a_length_has_a_number_and_a_unit(text, seconds):
    assert parse_length(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5m", "1.5h", "5w", "m", "5 m", "٣", "366d", "5m\n"]
)
def test_what_is_no_length_is_refused(text):
    with pytest.raises(BadLengthError):
        parse_length(text)


@given(st.integers(1, int(LONGEST.total_seconds())))
def test_what_is_spelled_is_read_again(seconds):
    length = timedelta(seconds=seconds)

    assert parse_length(spelled(length)) == length


def test_the_largest_unit_is_taken():
    assert [spelled(timedelta(minutes=m)) for m in (1, 90, 120, 2880)] == ["1m", "90m", "2h", "2d"]
