import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.core.sharing import first_of, has_room, portion, rank

workers = st.sets(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=1, max_size=12)
sites = st.text(max_size=8)


@given(limit=st.integers(0, 500), site=sites, workers=workers)
def test_all_portions_together_are_the_limit(limit, site, workers):
    portions = [portion(limit, site, worker, workers) for worker in workers]

    assert sum(portions) == limit
    assert max(portions) - min(portions) <= 1


@given(site=sites, workers=workers)
def test_everybody_has_a_rank_of_its_own(site, workers):
    assert sorted(rank(site, worker, workers) for worker in workers) == [*range(len(workers))]
    assert rank(site, first_of(site, workers), workers) == 0


@given(limit=st.integers(0, 30), site=sites, workers=workers, newcomer=st.text(max_size=3))
def test_nobody_has_more_when_another_comes(limit, site, workers, newcomer):
    for worker in workers:
        before = portion(limit, site, worker, workers)

        assert portion(limit, site, worker, {*workers, newcomer}) <= before


def test_a_site_for_one_alone_is_not_always_the_same_workers():
    workers = {"a", "b", "c"}

    assert {first_of(f"site{n}", workers) for n in range(50)} == workers


@pytest.mark.parametrize("slow", [1, 3, 10, 40])
def test_slow_sites_leave_room_for_the_others(slow):
    slots, held = 200, dict.fromkeys(range(slow), 0)
    while greedy := [s for s in held if has_room(held[s], sum(held.values()), slots)]:
        for site in greedy:
            if has_room(held[site], sum(held.values()), slots):
                held[site] += 1

    assert slots - sum(held.values()) >= slots // (1 + 2 * slow)
    assert has_room(0, sum(held.values()), slots)
