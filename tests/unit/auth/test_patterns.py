"""Patterns of addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from services.auth.core.patterns import (
    BadPatternError,
    Patterns,
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
    assert Patterns.of([parse_pattern(pattern)]).match(Address.parse(address)) is matches


LOCALS = st.sampled_from(["", "*@", "ann@", "a*@", '"a b"@', '"*"@', "joann@"])
DOMAINS = st.sampled_from(
    [
        "ours.test",
        "*.ours.test",
        "sub.ours.test",
        "*",
        "*.test",
        "*ours.test",
        "*.*.test",
        "o*.test",
    ]
)
PATTERNS = st.builds(lambda local, domain: parse_pattern(local + domain), LOCALS, DOMAINS)
ADDRESSES = st.builds(
    lambda local, domain: Address.parse(f"{local}@{domain}"),
    st.sampled_from(["ann", "ANN", "joann", '"a b"', '"*"', "x"]),
    st.sampled_from(["ours.test", "sub.ours.test", "a.sub.ours.test", "yours.test", "other.test"]),
)


@given(st.lists(PATTERNS, max_size=6), st.none() | ADDRESSES)
def test_many_patterns_match_what_one_after_the_other_does(patterns, address):
    assert Patterns.of(patterns).match(address) is matches_any(patterns, address)


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
