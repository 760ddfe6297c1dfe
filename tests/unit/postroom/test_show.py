"""What the command prints."""

from datetime import timedelta

import pytest

from postroom.show import moment, plain, span, table, until
from tests.support.mail import NOON


def test_columns_are_as_wide_as_their_widest_word():
    assert list(table(["A", "B"], [["one", "x"], ["three", "y"]])) == [
        "A      B",
        "one    x",
        "three  y",
    ]


def test_a_wide_letter_takes_two_columns():
    assert list(table(["A", "B"], [["佐藤", "x"], ["Jörg", "y"]])) == [
        "A     B",
        "佐藤  x",
        "Jörg  y",
    ]


def test_an_empty_table_says_so():
    assert list(table(["A"], [])) == ["none"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (0, "0"),
        (["a", "b"], "a, b"),
        ("\x1b[2Jboo", " [2Jboo"),
    ],
)
def test_values_fit_on_a_terminal(value, shown):
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (250, "4m 10s"), (7_200, "2h"), (90_061, "1d 1h")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds, shown):
    assert span(timedelta(seconds=seconds)) == shown


def test_what_never_was_has_no_time():
    assert (moment(None), moment("2026-01-05T12:00:00Z")) == ("-", "2026-01-05 12:00:00")


def test_what_is_due_is_due_now():
    assert until(NOON.isoformat(), NOON) == "now"
    assert until(NOON.isoformat(), NOON - timedelta(minutes=5)) == "in 5m"
