"""Patterns of addresses."""

import pytest

from kernel.model.address import Address
from services.auth.core.patterns import (
    BadPatternError,
    is_everybody,
    is_too_wide,
    matches_any,
    parse_pattern,
)


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    [
        ("ann@ours.test", "ann@ours.test", True),
        ("ann@ours.test", "ANN@ours.test", True),
        ("ann@ours.test", "joann@ours.test", False),
        ("*@ours.test", "anybody@ours.test", True),
        ("ours.test", "anybody@ours.test", True),
        ("@ours.test", "anybody@ours.test", True),
        ("ours.test", "ann@sub.ours.test", False),
        ("*.ours.test", "ann@sub.ours.test", True),
        ("*.ours.test", "ann@ours.test", False),
        ("news-*@ours.test", "news-2026@ours.test", True),
        ("a.c@ours.test", "abc@ours.test", False),
        ("*", "anybody@anywhere.test", True),
        ("x@[192.0.2.1]", "x@[192.0.2.1]", True),
    ],
)
def test_patterns(pattern, address, matches):
    assert matches_any((parse_pattern(pattern),), Address.parse(address)) is matches


def test_no_pattern_matches_the_null_sender():
    assert not matches_any(("*",), None)


@pytest.mark.parametrize("text", ["", " ", "a b@ours.test", "ann@", "@"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(BadPatternError):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["*", "*@*", "ann@*", "*.*", "*m", "ours.*", "*o*"])
def test_everybody_is_recognised(text):
    assert is_everybody(parse_pattern(text))
    assert not is_everybody(parse_pattern("*.ours.test"))


@pytest.mark.parametrize("text", ["*", "*.test", "*ours.test", "ann@*.test", "ours.*.test"])
def test_domains_that_nobody_can_all_know_are_recognised(text):
    assert is_too_wide(parse_pattern(text))


@pytest.mark.parametrize(
    "text", ["ours.test", "*@ours.test", "*.ours.test", "mx*.ours.test", "test", "x@[192.0.2.1]"]
)
def test_domains_below_one_of_somebodys_are_not_too_wide(text):
    assert not is_too_wide(parse_pattern(text))
