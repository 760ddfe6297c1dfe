"""Senders of what we forward lead back to whom they were made for, and nobody else makes one."""

import re
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.srs import MAX_AGE, MAX_PATH, is_sealed, seal, unseal
from tests.support.mail import ANN, BOB, NOON

KEY = b"nobody knows this one"
OURS = "ours.test"
THEIRS = Address("SRS0=HhHh=T7=first.test=ann", "second.test")
THEIRS_AGAIN = Address("SRS1=XxXx=second.test==HhHh=T7=first.test=ann", "third.test")
days = st.timedeltas(timedelta(0), timedelta(days=MAX_AGE))
LOCALS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1
)
SENDERS = st.builds(
    Address, LOCALS, st.sampled_from(["x.test", "xn--bcher-kva.test", "[192.0.2.1]", "[ipv6:::1]"])
)


def sealed(sender, now=NOON):
    address = seal(sender, OURS, KEY, now)
    assert address is not None
    return address


@given(SENDERS, days)
def test_what_is_sealed_leads_back(sender, waited):
    address = seal(sender, OURS, KEY, NOON)
    assume(address is not None)

    assert unseal(address, KEY, NOON + waited) == sender


def test_it_is_spelled_as_everybody_spells_it():
    address = sealed(BOB)

    assert re.fullmatch(r"SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=elsewhere\.test=bob", address.local)
    assert address.domain == OURS


@pytest.mark.parametrize("sender", [THEIRS, THEIRS_AGAIN])
def test_what_others_have_rewritten_goes_back_to_the_first_of_them(sender):
    address = sealed(sender)

    assert re.fullmatch(r"SRS1=[A-Z2-7]{8}=second\.test==HhHh=T7=first\.test=ann", address.local)
    assert unseal(address, KEY, NOON) == THEIRS


def test_case_may_be_lost_on_the_way():
    for sender in (BOB, THEIRS):
        folded = Address(sealed(sender).local.lower(), OURS)

        found = unseal(folded, KEY, NOON)

        assert found is not None
        assert str(found).lower() == str(sender).lower()


def test_it_can_be_written_down_however_long_it_is():
    sender = Address("x" * 64, "a.test")

    assert Address.parse(str(sealed(sender))) == sealed(sender)
    assert Address.parse(str(sealed(Address("a b", "x.test")))) == sealed(Address("a b", "x.test"))


def test_one_that_nobody_could_be_told_is_not_made():
    assert seal(Address("x" * 64, ".".join(["y" * 50] * 4)), OURS, KEY, NOON) is None
    assert len(str(sealed(Address("x" * 64, "y" * 50)))) <= MAX_PATH


@pytest.mark.parametrize(
    ("waited", "holds"),
    [
        (timedelta(days=-1), True),  # another clock
        (timedelta(days=-2), False),
        (timedelta(days=MAX_AGE), True),
        (timedelta(days=MAX_AGE + 1), False),
        (timedelta(days=1024), False),  # the same two digits
    ],
)
def test_it_holds_for_three_weeks(waited, holds):
    assert (unseal(sealed(BOB), KEY, NOON + waited) is not None) is holds


@given(st.data())
def test_nobody_else_can_make_one(data):
    """One character changed, added or left out: it leads nowhere, or where it led before."""
    sender = data.draw(st.sampled_from([BOB, THEIRS]))
    local = sealed(sender).local
    at = data.draw(st.integers(0, len(local) - 1))
    other = data.draw(st.sampled_from(["", "=", "A", "b", "7", "x", "."]))
    forged = Address(local[:at] + other + local[at + 1 :], OURS)
    assume(forged.local.lower() != local.lower())

    assert unseal(forged, KEY, NOON) is None


@given(LOCALS, st.binary(min_size=1))
def test_another_key_opens_nothing(local, key):
    assume(key != KEY)

    assert unseal(sealed(BOB), key, NOON) is None
    assert unseal(Address(f"SRS0={local}", OURS), KEY, NOON) is None


def test_without_a_key_nothing_leads_anywhere():
    address = seal(BOB, OURS, b"", NOON)

    assert address is not None
    assert unseal(address, b"", NOON) is None


def test_it_is_known_by_its_looks():
    assert is_sealed(Address("srs0=x", OURS))
    assert is_sealed(Address("SRS1+x", OURS))
    assert not is_sealed(Address("srs0", OURS))
    assert not is_sealed(ANN)
