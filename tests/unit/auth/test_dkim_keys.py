"""DKIM keys: their names, their records, and whether DNS has these."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.dkim import (
    Algorithm,
    BadSelectorError,
    DkimKey,
    KeyState,
    next_selector,
    parse_selector,
    strings_of,
    why_not_published,
)
from tests.support.mail import NOON

KEY = DkimKey("ours.test", "2026a", Algorithm.RSA, 2048, KeyState.PREPARED, "MIIB", NOON)


@pytest.mark.parametrize(
    ("taken", "selector"),
    [
        ((), "2026a"),
        (("2026a", "2026c"), "2026b"),
        (tuple(f"2026{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), "2026aa"),
    ],
)
def test_a_selector_tells_its_year(taken, selector):
    assert next_selector(2026, taken) == selector


@pytest.mark.parametrize("text", ["2026a", "S1", "a-b.c", "20260101", "x" * 63])
def test_a_selector_is_labels(text):
    assert parse_selector(text) == text.lower()


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a", "a_b", "a b", "ä", "x" * 64, "a/b", "a\n"])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(BadSelectorError):
        parse_selector(text)


def test_the_record_says_where_and_what():
    assert KEY.record_name == "2026a._domainkey.ours.test"
    assert KEY.record == "v=DKIM1; k=rsa; p=MIIB"


@given(st.text("abc", min_size=1, max_size=2000))
def test_the_strings_of_a_record_are_the_record(record):
    strings = strings_of(record)

    assert "".join(strings) == record
    assert all(0 < len(string) <= 255 for string in strings)


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (["v=DKIM1; k=rsa; p=MIIB"], ""),
        (["p=MI IB"], ""),
        (["k = rsa ; t=s; p=MIIB;"], ""),
        ([], "DNS has no such record"),
        (["v=DKIM1; k=rsa; p=MIIB", "p=x"], "2 records"),
        (["v=spf1 -all"], "no DKIM key"),
        (["hello"], "no DKIM key"),
        (["v=DKIM1; p="], "revoked"),
        (["v=DKIM1; k=ed25519; p=MIIB"], "another key"),
        (["v=DKIM1; k=rsa; p=MIIC"], "another key"),
    ],
)
def test_dns_has_the_key_or_it_is_said_why_not(records, why):
    found = why_not_published(KEY, records)

    assert why in found
    assert bool(found) == bool(why)
