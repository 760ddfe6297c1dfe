from math import inf

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.rate import Rate
from services.delivery.core.rates import draw, interval

MINUTELY = Rate(60, 60)
HOURLY = Rate(100, 3_600)


def drawn(portions, moments, joined=-inf):
    """Return at which of ``moments`` a message may go."""
    levels, found = {}, []
    for now in moments:
        levels, wait = draw(levels, portions, now, joined)
        if not wait:
            found.append(now)
    return found


def test_a_burst_goes_at_once_and_then_as_time_goes_by():
    assert len(drawn({MINUTELY: 60}, [0.0] * 100)) == 60
    assert len(drawn({MINUTELY: 60}, [0.0] * 100 + [1.0] * 10)) == 61


def test_the_strictest_rate_counts():
    assert len(drawn({MINUTELY: 60, HOURLY: 100}, [m * 60.0 for m in range(60)] * 1)) == 60
    assert len(drawn({MINUTELY: 60, HOURLY: 10}, [float(s) for s in range(60)])) == 10


def test_who_has_no_portion_sends_nothing():
    assert drawn({MINUTELY: 0}, [0.0, 100.0]) == []


def test_a_newcomer_among_others_has_to_earn_its_burst():
    moments = [n / 10 for n in range(600)]

    assert 28 <= len(drawn({MINUTELY: 30}, moments, joined=0.0)) <= 31
    assert len(drawn({MINUTELY: 30}, [m + 60 for m in moments], joined=0.0)) >= 58


def test_the_wait_that_is_named_is_enough():
    levels, _ = draw({}, {Rate(1, 10): 1}, 0.0, -inf)

    refused, wait = draw(levels, {Rate(1, 10): 1}, 4.0, -inf)

    assert (refused, wait) == (levels, 6.0)
    assert draw(levels, {Rate(1, 10): 1}, 10.0, -inf)[1] == 0


@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=4).filter(any),
    steps=st.lists(st.floats(0, 20), max_size=150),
)
def test_workers_together_keep_the_rate(counts, steps):
    rate = Rate(sum(counts), 60)
    levels, sent, now = [{} for _ in counts], [], 0.0
    for number, step in enumerate(steps):
        now += step
        worker = number % len(counts)
        levels[worker], wait = draw(levels[worker], {rate: counts[worker]}, now, -inf)
        if not wait:
            sent.append(now)

    for begin in sent:
        within = [moment for moment in sent if begin <= moment <= begin + 60]
        assert len(within) <= 2 * rate.count + len(counts)


def test_the_interval_is_that_of_the_slowest():
    assert interval({MINUTELY: 30, HOURLY: 100}) == 36
    assert interval({}) == 0
