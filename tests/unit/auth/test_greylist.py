"""Greylisting: who has to try again, and who is known."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.questions import Acquaintance
from services.auth.core.greylist import (
    COME_BACK_WITHIN,
    ENOUGH,
    MEMORY,
    Trace,
    judge,
    mail_of,
)
from tests.support.mail import ANN, BOB, CAT, EVE, NOON

NEW, EARLY, BACK, KNOWN = Acquaintance
DELAY = timedelta(minutes=5)
MAIL = mail_of("192.0.2.1", EVE, [ANN])
(TRIPLET,) = MAIL.triplets


def ago(passed=0, *, last=None, **ago):
    first = NOON - timedelta(**ago)
    return Trace(first, first if last is None else NOON - last, passed)


@pytest.mark.parametrize(
    ("triplet", "network", "acquaintance"),
    [
        (None, None, NEW),
        (ago(minutes=0), None, EARLY),
        (ago(minutes=4, seconds=59), None, EARLY),
        (ago(minutes=5), None, BACK),
        (ago(hours=23, minutes=59), None, BACK),
        (ago(days=1), None, NEW),
        (ago(1, days=1), None, KNOWN),
        (ago(1, days=400, last=timedelta(days=35)), None, KNOWN),
        (ago(1, days=400, last=MEMORY), None, NEW),
        (None, ago(ENOUGH - 1, days=1), NEW),
        (None, ago(ENOUGH, days=1), KNOWN),
        (ago(minutes=0), ago(ENOUGH, days=1), KNOWN),
        (None, ago(ENOUGH, days=36), NEW),
    ],
)
def test_who_passes(triplet, network, acquaintance):
    known = {TRIPLET: triplet, MAIL.network: network}
    known = {digest: trace for digest, trace in known.items() if trace}

    assert judge(MAIL, known, DELAY, NOON).acquaintance is acquaintance


def test_who_comes_back_counts_once_for_its_network():
    mail = mail_of("192.0.2.1", EVE, [ANN, BOB])
    heard = dict.fromkeys(mail.triplets, ago(minutes=5))

    judgement = judge(mail, heard | {mail.network: ago(3, days=1)}, DELAY, NOON)

    assert judgement.changes == {
        **dict.fromkeys(mail.triplets, ago(1, minutes=5, last=timedelta(0))),
        mail.network: ago(4, days=1, last=timedelta(0)),
    }


def test_a_message_passes_only_if_all_of_its_triplets_do():
    mail = mail_of("192.0.2.1", EVE, [ANN, BOB, CAT])
    known = {mail.triplets[0]: ago(1, days=2), mail.triplets[1]: ago(hours=1)}

    judgement = judge(mail, known, DELAY, NOON)

    assert judgement.acquaintance is NEW
    assert judgement.changes[mail.triplets[2]] == Trace(NOON, NOON)


def test_use_renews_what_is_known_once_a_day():
    lately = judge(MAIL, {TRIPLET: ago(1, hours=23)}, DELAY, NOON)
    long_ago = judge(MAIL, {TRIPLET: ago(1, days=30)}, DELAY, NOON)
    network = judge(MAIL, {MAIL.network: ago(ENOUGH, days=30)}, DELAY, NOON)

    assert lately.changes == {}
    assert long_ago.changes == {TRIPLET: ago(1, days=30, last=timedelta(0))}
    assert network.changes == {MAIL.network: ago(ENOUGH, days=30, last=timedelta(0))}


def test_who_is_too_early_waits_no_longer_for_it():
    assert judge(MAIL, {TRIPLET: ago(minutes=4)}, DELAY, NOON).changes == {}


@pytest.mark.parametrize(
    ("client", "sender", "recipient", "same"),
    [
        ("192.0.2.255", EVE, ANN, True),
        ("::ffff:192.0.2.9", EVE, ANN, True),
        ("192.0.2.1", Address("EVE", EVE.domain), Address("Ann", ANN.domain), True),
        ("192.0.3.1", EVE, ANN, False),
        ("192.0.2.1", None, ANN, False),
        ("192.0.2.1", EVE, BOB, False),
        ("2001:db8::1", EVE, ANN, False),
    ],
)
def test_what_makes_a_triplet(client, sender, recipient, same):
    assert (mail_of(client, sender, [recipient]) == MAIL) is same


def test_a_network_of_ipv6_is_a_64():
    one, near, far = (
        mail_of(client, None, [ANN]) for client in ("2001:db8::1", "2001:db8::f:1", "2001:db8:1::1")
    )

    assert one == near
    assert one.network != far.network


@given(
    delay=st.timedeltas(timedelta(0), timedelta(hours=12)),
    pauses=st.lists(st.timedeltas(timedelta(0), timedelta(days=2)), max_size=20),
)
def test_a_triplet_passes_once_it_comes_back_in_time_and_never_before(delay, pauses):
    known, first, passed = {}, None, False
    now = NOON
    for pause in [timedelta(0), *pauses]:
        now += pause
        if not passed and (first is None or now - first >= COME_BACK_WITHIN):
            first, expected = now, NEW
        elif passed:
            expected = KNOWN
        else:
            passed = now - first >= delay
            expected = BACK if passed else EARLY

        judgement = judge(MAIL, known, delay, now)

        assert judgement.acquaintance is expected
        known |= judgement.changes
