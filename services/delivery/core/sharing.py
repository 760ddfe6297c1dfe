"""How what one site may have is shared among workers, and what one worker has among sites.

Nobody deals it out: every worker that knows the same fellows comes to the same result. Who gets
the remainder is decided for each site anew, by rendezvous hashing: when a worker comes or goes,
nothing moves between the others but what was or becomes its own.
"""

from collections.abc import Collection
from hashlib import blake2b

GREED = 2


def portion(limit: int, site: str, worker: str, workers: Collection[str]) -> int:
    """Return how much of ``limit`` at ``site`` is for ``worker``; all together get just that."""
    each, remainder = divmod(limit, len({*workers, worker}))
    return each + (rank(site, worker, workers) < remainder)


def rank(site: str, worker: str, workers: Collection[str]) -> int:
    """Return how many ``workers`` come before ``worker`` at ``site``."""
    own = _weight(site, worker)
    return sum(_weight(site, other) > own for other in workers if other != worker)


def first_of(site: str, workers: Collection[str]) -> str:
    """Return the worker who comes first at ``site``."""
    return max(workers, key=lambda worker: _weight(site, worker))


def has_room(here: int, slow: int, slots: int) -> bool:
    """Return whether one more leg of a slow site, that has ``here`` in hand, may be.

    Legs of slow sites have ``slow`` of the ``slots`` of a worker by now. Each of these sites may
    have so many for each slot that is left (dynamic thresholds; Choudhury and Hahne, 1998): however
    many there are, some slots stay free for those that are not slow.
    """
    return not here or here < GREED * (slots - slow)


def _weight(site: str, worker: str) -> tuple[bytes, str]:
    return blake2b(f"{site}\n{worker}".encode(), digest_size=8).digest(), worker
