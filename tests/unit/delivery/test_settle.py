from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.envelope import Recipient
from kernel.model.events import Local, Nowhere, Stage
from kernel.model.reply import Reply
from services.delivery.core.schedule import RetrySchedule
from services.delivery.core.settle import NO_ANSWER, Fate, postpone, settle
from tests.support.mail import (
    A_WEEK_LATER,
    ANN,
    BOB,
    BUSY,
    CAT,
    GONE,
    NOON,
    OK,
    make_leg,
)

SCHEDULE = RetrySchedule()
replies = st.builds(Reply, st.integers(200, 599), st.just(""), st.text(max_size=5))
delays = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10))


def stages(settlement):
    return {fate.recipient.address: fate.stage for fate in settlement.fates}


def test_only_deferred_recipients_are_tried_again():
    settlement = settle(make_leg(ANN, BOB, CAT), {ANN: OK, BOB: BUSY, CAT: GONE}, SCHEDULE, NOON)

    assert settlement.retry.leg == make_leg(BOB, attempt=2)
    assert settlement.retry.why == BUSY
    assert settlement.failures == (Fate(Recipient(CAT), Stage.FAILED, GONE),)
    assert stages(settlement) == {ANN: Stage.RELAYED, BOB: Stage.DEFERRED, CAT: Stage.FAILED}


def test_what_went_into_a_mailbox_is_delivered():
    assert stages(settle(make_leg(ANN, hop=Local()), {ANN: OK}, SCHEDULE, NOON)) == {
        ANN: Stage.DELIVERED
    }


def test_who_greylists_is_given_the_time_that_it_asked_for():
    greylisted = Reply(451, "4.7.1", "Greylisted, try again in 10 minutes")

    settlement = settle(make_leg(BOB), {BOB: greylisted}, SCHEDULE, NOON)

    assert settlement.retry.due >= NOON + timedelta(minutes=10)


def test_a_lost_answer_is_a_deferral():
    settlement = settle(make_leg(BOB), {}, SCHEDULE, NOON)

    assert settlement.retry.why == NO_ANSWER
    assert settlement.failures == ()


def test_whoever_is_deferred_for_too_long_has_expired():
    settlement = settle(make_leg(BOB, CAT), {BOB: BUSY, CAT: GONE}, SCHEDULE, A_WEEK_LATER)

    assert settlement.retry is None
    assert stages(settlement) == {BOB: Stage.EXPIRED, CAT: Stage.FAILED}


def test_a_leg_without_a_place_that_may_exist_later_is_tried_again():
    settlement = settle(make_leg(BOB, hop=Nowhere(BUSY)), {BOB: BUSY}, SCHEDULE, NOON)

    assert settlement.retry.leg.hop == Nowhere(BUSY)


def test_what_was_not_tried_comes_back_as_it_is():
    leg = make_leg(BOB, CAT, attempt=3)

    settlement = postpone(leg, BUSY, SCHEDULE, NOON)

    assert settlement.fates == ()
    assert settlement.retry.leg == leg
    assert timedelta(0) < settlement.retry.due - NOON < timedelta(seconds=6)


def test_what_was_not_tried_may_say_when_it_is_worth_a_try():
    until = NOON + timedelta(minutes=10)

    assert postpone(make_leg(BOB), BUSY, SCHEDULE, NOON, until).retry.due == until


def test_what_is_not_tried_comes_back_to_expire_in_time():
    settlement = postpone(make_leg(BOB), BUSY, SCHEDULE, NOON, A_WEEK_LATER)

    assert settlement.retry.due == SCHEDULE.patience_ends(make_leg(BOB))


def test_what_is_not_tried_for_too_long_expires_too():
    settlement = postpone(make_leg(BOB), BUSY, SCHEDULE, A_WEEK_LATER)

    assert settlement.retry is None
    assert stages(settlement) == {BOB: Stage.EXPIRED}


@given(
    answers=st.dictionaries(st.sampled_from([ANN, BOB, CAT]), replies),
    ladder=st.lists(delays, min_size=1).map(tuple),
    attempt=st.integers(1, 1000),
    waited=delays,
)
def test_no_recipient_is_ever_lost_or_doubled(answers, ladder, attempt, waited):
    leg = make_leg(ANN, BOB, CAT, attempt=attempt)

    settlement = settle(leg, answers, RetrySchedule(ladder), NOON + waited)

    served = [f.recipient for f in settlement.fates if f.stage is Stage.RELAYED]
    retried = settlement.retry.leg.envelope.recipients if settlement.retry else ()
    failed = [fate.recipient for fate in settlement.failures]
    assert Counter([*served, *retried, *failed]) == Counter(leg.envelope.recipients)
    assert Counter(f.recipient for f in settlement.fates) == Counter(leg.envelope.recipients)
    assert all(answers[recipient.address].is_positive for recipient in served)
