"""Traces come late, twice and in any order; what became of a recipient is the same."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.events import MailTraced, Stage, Summary, Trace
from services.ledger.core.fate import Balance, Step, attempt_of, fate, outdoes
from services.ledger.core.record import record
from tests.support.mail import ANN, BOB, CAT, MAIL_ID, NOON, OK

LEG = f"{MAIL_ID}/remote:elsewhere.test"
SUMMARY = Summary(ANN, 100, "mx 127.0.0.1")


def step(stage, cause=MAIL_ID, at=NOON):
    return Step(MAIL_ID, "bob@elsewhere.test", stage, cause, at)


def traced(stage, cause=MAIL_ID, *recipients, summary=None):
    traces = tuple(Trace(recipient, stage) for recipient in recipients or (BOB,))
    return MailTraced(MAIL_ID, NOON, cause, traces, summary)


def test_an_ending_outweighs_whatever_comes_after_it():
    assert fate([step(Stage.RELAYED, f"{LEG}/1"), step(Stage.ROUTED, f"{LEG}/2")]).stage == (
        Stage.RELAYED
    )


def test_a_later_attempt_outweighs_an_earlier_one():
    steps = [step(Stage.DEFERRED, f"{LEG}/1"), step(Stage.ROUTED, f"{LEG}/2")]

    assert fate(steps) == steps[1]
    assert fate(reversed(steps)) == steps[1]


def test_of_one_attempt_what_came_of_it_outweighs_its_beginning():
    assert outdoes(step(Stage.DEFERRED, f"{LEG}/2"), step(Stage.ROUTED, f"{LEG}/2"))


def test_of_two_endings_the_one_in_which_the_mail_arrived_is_believed():
    assert outdoes(step(Stage.DELIVERED, f"{LEG}/1"), step(Stage.FAILED, f"{LEG}/2"))


def test_the_attempt_is_the_last_part_of_a_leg_s_id():
    assert attempt_of(f"{LEG}/12") == 12
    assert attempt_of(MAIL_ID) == 0


STEPS = st.builds(
    step,
    st.sampled_from(Stage),
    st.sampled_from([MAIL_ID, f"{LEG}/1", f"{LEG}/2", f"{LEG}/10"]),
    st.integers(0, 5).map(lambda seconds: NOON + timedelta(seconds=seconds)),
)


@given(
    st.lists(STEPS, min_size=1, max_size=8).flatmap(
        lambda steps: st.tuples(st.just(steps), st.permutations(steps))
    )
)
def test_steps_in_any_order_give_the_same_fate(both):
    steps, shuffled = both

    one, other = fate(steps), fate(shuffled)

    assert not outdoes(one, other)
    assert not outdoes(other, one)
    assert (one.stage.is_final, one.at) == (other.stage.is_final, other.at)


@given(st.lists(STEPS, min_size=1, max_size=8))
def test_twins_change_nothing(steps):
    assert fate(steps + steps) == fate(steps)


@given(st.lists(STEPS, min_size=1, max_size=8), st.integers(0, 8))
def test_parts_may_be_merged_first(steps, cut):
    first, second = steps[:cut], steps[cut:]
    merged = [fate(part) for part in (first, second) if part]

    assert not outdoes(fate(steps), fate(merged))
    assert not outdoes(fate(merged), fate(steps))


def test_a_batch_enters_each_thing_once():
    accepted = traced(Stage.ACCEPTED, MAIL_ID, summary=SUMMARY)
    relayed = traced(Stage.RELAYED, f"{LEG}/1")

    records = record([relayed, accepted, accepted, relayed])

    assert [s.stage for s in records.steps] == [Stage.ACCEPTED, Stage.RELAYED]
    assert [s.stage for s in records.fates] == [Stage.RELAYED]
    assert [a.summary for a in records.accounts] == [SUMMARY]
    assert records.closing == (MAIL_ID,)
    assert records.opening == ()


def test_members_of_an_alias_may_open_a_mail_again():
    members = MailTraced(
        MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.EXPANDED), Trace(CAT, Stage.ACCEPTED))
    )

    assert record([members]).opening == (MAIL_ID,)


def test_untrusted_words_are_made_printable():
    event = MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.FAILED, "a\0b\x1b[31m", OK),))

    assert record([event]).steps[0].detail == "a b [31m"


EVENTS = st.builds(
    traced,
    st.sampled_from([Stage.ROUTED, Stage.DEFERRED, Stage.RELAYED, Stage.FAILED]),
    st.sampled_from([f"{LEG}/1", f"{LEG}/2"]),
    st.sampled_from([ANN, BOB, CAT]),
)


@given(
    st.lists(EVENTS, max_size=10).flatmap(
        lambda events: st.tuples(st.just(events), st.permutations(events))
    )
)
def test_a_batch_says_the_same_in_any_order(both):
    events, shuffled = both

    assert record(events) == record(shuffled) == record(events + shuffled)


def test_what_has_not_ended_is_open():
    assert Balance(accepted=10, open=3, waiting=2).ended == 7
