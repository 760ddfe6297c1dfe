"""Who of a waiting leg is still to be served, and whether that can be told."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.events import OUTCOMES, Stage
from services.ledger.core.release import (
    PATIENCE,
    WaitingLeg,
    must_wait_for_traces,
    still_to_serve,
)
from tests.support.mail import BOB, CAT, NOON, make_leg


def test_a_leg_that_nobody_was_served_of_goes_out_as_it_is():
    leg = make_leg(BOB, CAT)

    assert still_to_serve(leg, set()) is leg


def test_who_was_served_is_left_out():
    assert still_to_serve(make_leg(BOB, CAT), {str(BOB)}) == make_leg(CAT)


def test_a_leg_whose_recipients_were_all_served_does_not_go_out():
    assert still_to_serve(make_leg(BOB, CAT), {str(BOB), str(CAT)}) is None


ADDRESSES = st.builds(Address, st.sampled_from("abcdef"), st.just("x.test"))


@given(st.lists(ADDRESSES, min_size=1, unique=True), st.sets(ADDRESSES))
def test_everybody_is_served_or_goes_out(recipients, served):
    left = still_to_serve(make_leg(*recipients), {str(address) for address in served})

    remaining = {r.address for r in left.envelope.recipients} if left else set()
    assert remaining == set(recipients) - served


def test_a_leg_that_was_never_out_and_that_nobody_doubts_goes_to_everybody():
    assert WaitingLeg(make_leg(BOB), NOON).serving == ()


def test_an_outcome_proves_a_routing_whose_own_trace_was_lost():
    doubtful = WaitingLeg(make_leg(BOB), NOON, (Stage.ROUTED,))

    assert doubtful.serving == (Stage.ROUTED, *OUTCOMES)


def test_a_leg_that_was_taken_before_may_have_gone_out():
    assert WaitingLeg(make_leg(BOB), NOON, takes=2).serving == OUTCOMES


def test_a_leg_in_doubt_waits_for_traces_that_are_still_on_the_bus():
    doubtful = WaitingLeg(make_leg(BOB), NOON, (Stage.ROUTED,))

    assert must_wait_for_traces(doubtful, 3, NOON)
    assert not must_wait_for_traces(doubtful, 0, NOON)


def test_a_leg_in_doubt_does_not_wait_for_ever():
    doubtful = WaitingLeg(make_leg(BOB), NOON, (Stage.ROUTED,))

    assert must_wait_for_traces(doubtful, 3, NOON + PATIENCE - timedelta(seconds=1))
    assert not must_wait_for_traces(doubtful, 3, NOON + PATIENCE)


def test_a_leg_without_doubt_waits_for_no_trace():
    assert not must_wait_for_traces(WaitingLeg(make_leg(BOB), NOON), 3, NOON)
