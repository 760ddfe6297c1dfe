"""Limits: how much is too much, of one client or one user."""

from collections.abc import Hashable, Sequence
from ipaddress import ip_network

from kernel.model.rate import Rate

NETWORK = 64
"""The bits of an IPv6 address that its owner cannot change at will (RFC 4291 §2.5.4)."""


def neighbourhood(client: str) -> str:
    """Return whom a client counts with: an IPv4 address alone, one of IPv6 with its /64."""
    if ":" not in client:
        return client
    return str(ip_network((client.partition("%")[0], NETWORK), strict=False))


class Meters:
    """Measures everybody by their keys; no more than ``room`` of them at a time.

    Whoever has been quiet is forgotten, and so is the longest known when there is no room:
    a flood of new addresses may get more than its share, but no more memory.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._empty_at: dict[tuple[Hashable, Rate], float] = {}

    def __len__(self) -> int:
        return len(self._empty_at)

    def take(self, key: Hashable, rates: Sequence[Rate], now: float) -> Rate | None:
        """Count one more of ``key``, or return the rate that it would exceed and count nothing."""
        levels = [
            (rate, rate.after_one_more(self._empty_at.get((key, rate), now), now)) for rate in rates
        ]
        for rate, empty_at in levels:
            if rate.excess(empty_at, now):
                return rate
        for rate, empty_at in levels:
            self._remember((key, rate), empty_at, now)
        return None

    def level(self, key: Hashable, rate: Rate, now: float) -> float:
        """Return how many of ``key`` count now."""
        return max(0.0, self._empty_at.get((key, rate), now) - now) * rate.count / rate.seconds

    def _remember(self, what: tuple[Hashable, Rate], empty_at: float, now: float) -> None:
        if what not in self._empty_at and len(self._empty_at) >= self._room:
            self._forget(now)
        self._empty_at[what] = empty_at

    def _forget(self, now: float) -> None:
        """Make room: all that are empty go, and if they are few, the oldest tenth."""
        old = len(self._empty_at)
        kept = [(what, at) for what, at in self._empty_at.items() if at > now]
        surplus = max(0, len(kept) - old * 9 // 10)
        self._empty_at = dict(kept[surplus:])
