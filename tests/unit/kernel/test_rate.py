"""Rates as people write them."""

import pytest

from kernel.model.rate import BadRateError, Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", Rate(60, 60)),
        (" 1000 / Hour ", Rate(1000, 3600)),
        ("1/second", Rate(1, 1)),
        ("5/day", Rate(5, 86_400)),
    ],
)
def test_a_rate_is_so_many_in_a_unit_of_time(text, rate):
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "60", "0/hour", "-1/hour", "1.5/hour", "60/week", "60/", "/hour"]
)
def test_anything_else_is_none(text):
    with pytest.raises(BadRateError):
        Rate.parse(text)
