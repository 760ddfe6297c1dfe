import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.reply import Reply
from services.delivery.core.throttle import INITIAL, Outcome, Throttle, feedback, outcome_of

outcomes = st.lists(st.sampled_from(Outcome), max_size=200)
states = st.builds(
    Throttle,
    st.integers(1, 50),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 5),
)


def after(outcome, times, state=None, ceiling=20):
    state = state or Throttle()
    for _ in range(times):
        state = feedback(state, outcome, ceiling, busy=ceiling)
    return state


def test_as_many_successes_as_there_are_connections_add_one():
    assert after(Outcome.SUCCESS, 4).window == INITIAL
    assert after(Outcome.SUCCESS, 5).window == INITIAL + 1
    assert after(Outcome.SUCCESS, 5 + 6).window == INITIAL + 2


def test_a_failure_takes_one_away_and_then_a_whole_window_of_them_another():
    once = after(Outcome.FAILURE, 1)

    assert once.window == INITIAL - 1
    assert after(Outcome.FAILURE, 3, once).window == INITIAL - 2
    assert after(Outcome.FAILURE, 30).window == 1


def test_a_window_full_of_failures_is_the_end():
    assert not after(Outcome.FAILURE, 4).is_dead(1)
    assert after(Outcome.FAILURE, 5).is_dead(1)
    assert not after(Outcome.FAILURE, 5).is_dead(3)


def test_a_success_in_between_is_a_sign_of_life():
    state = after(Outcome.SUCCESS, 1, after(Outcome.FAILURE, 4))

    assert not after(Outcome.FAILURE, 2, state).is_dead(1)


def test_what_is_not_used_does_not_grow():
    state = Throttle()
    for _ in range(100):
        state = feedback(state, Outcome.SUCCESS, ceiling=20, busy=1)

    assert state.window == INITIAL + 1


@given(outcomes=outcomes, ceilings=st.lists(st.integers(1, 40), min_size=200, max_size=200))
def test_the_window_stays_between_one_and_the_ceiling(outcomes, ceilings):
    state = Throttle()
    for outcome, ceiling in zip(outcomes, ceilings, strict=False):
        state = feedback(state, outcome, ceiling, busy=ceiling)

        assert 1 <= state.window <= ceiling


@given(state=states, ceiling=st.integers(1, 60), busy=st.integers(0, 60))
def test_success_never_takes_away_and_failure_never_adds(state, ceiling, busy):
    within = min(state.window, ceiling)

    assert feedback(state, Outcome.SUCCESS, ceiling, busy).window >= within
    assert feedback(state, Outcome.FAILURE, ceiling, busy).window <= within
    failed = feedback(state, Outcome.FAILURE, ceiling, busy)
    assert failed.failed_cohorts > state.failed_cohorts


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Reply(451, "4.4.1", "No server of the domain takes our connection"), Outcome.FAILURE),
        (Reply(421, "4.7.0", "Too many connections from you"), Outcome.FAILURE),
        (Reply(451, "4.4.2", "The server did not answer in time"), Outcome.FAILURE),
        (Reply(554, "5.7.1", "Not from you"), Outcome.SUCCESS),
        (Reply(451, "4.7.5", "No server of the domain proves under TLS who it is"), None),
    ],
    ids=str,
)
def test_what_the_end_of_a_connection_says_of_its_site(failure, outcome):
    assert outcome_of(failure) is outcome
