"""Rates that workers share: each draws from a portion of its own."""

from collections.abc import Mapping
from math import inf

from kernel.model.rate import Rate

Levels = Mapping[Rate, float]
"""When each bucket will be empty: a time, so it stays as full as it is when the portion changes."""

Portions = Mapping[Rate, int]
"""How much of the count of each rate is ours."""


def draw(levels: Levels, portions: Portions, now: float, joined: float) -> tuple[Levels, float]:
    """Count one more; return the levels after it, and 0. Or return them as they are, and the wait.

    Who has ``joined`` others finds its buckets full: they may have spent everything by then.
    It is minus infinity for who was alone.
    """
    after: dict[Rate, float] = {}
    wait = 0.0
    for rate, count in portions.items():
        if not count:
            return levels, inf
        own = Rate(count, rate.seconds)
        after[rate] = own.after_one_more(levels.get(rate, joined + rate.seconds), now)
        wait = max(wait, own.excess(after[rate], now))
    return (levels, wait) if wait else (after, 0.0)


def interval(portions: Portions) -> float:
    """Return the seconds between two messages at the slowest of ``portions``."""
    return max((rate.seconds / max(1, count) for rate, count in portions.items()), default=0.0)
