"""App passwords: long, told apart, and good for what they were made for."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.app_passwords import OCTETS, digest_of, fitting, generate, shown
from services.auth.core.directory import AppPassword, Purpose
from tests.support.mail import NOON


def made(name, *purposes):
    password = generate(os.urandom(OCTETS))
    return password, AppPassword(name, frozenset(purposes), digest_of(password), NOON)


PHONE, ON_PHONE = made("phone", Purpose.SEND, Purpose.COLLECT)
PRINTER, ON_PRINTER = made("printer", Purpose.SEND)
BOTH = (ON_PHONE, ON_PRINTER)


def test_an_app_password_looks_like_one_and_hides_128_bits():
    prefix, name, secret = PHONE.split("_")

    assert (prefix, len(name), len(secret)) == ("pra", 8, 26)
    assert PHONE.lower() == PHONE


def test_each_is_known_by_its_whole_text():
    assert shown(BOTH, PHONE) is ON_PHONE
    assert shown(BOTH, PRINTER) is ON_PRINTER
    for wrong in (PHONE[:-1], PHONE + "a", PHONE.upper(), PHONE[4:], "pra_", "pra_x_\ud800", ""):
        assert shown(BOTH, wrong) is None
    assert shown((), PHONE) is None


def test_nothing_of_the_secret_is_kept():
    assert PHONE.rpartition("_")[2] not in ON_PHONE.digest


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("smtp", ["phone", "printer"]),
        ("pop3", ["phone"]),
        ("imap", ["phone"]),
        ("api", []),
        ("", []),
    ],
)
def test_an_app_password_opens_what_it_was_made_for_and_never_the_api(service, names):
    assert [app.name for app in fitting(BOTH, service)] == names


@given(st.binary(min_size=OCTETS, max_size=OCTETS), st.binary(min_size=OCTETS, max_size=OCTETS))
def test_different_luck_gives_different_passwords(one, other):
    assert (generate(one) == generate(other)) == (one == other)
    assert (digest_of(generate(one)) == digest_of(generate(other))) == (one == other)
