"""Rate: how much of something may happen in a stretch of time.

It is measured by a leaky bucket that costs one number: the moment at which it will be empty again
(the generic cell rate algorithm of ITU-T I.371). Over any stretch of time no more gets
through than the rate times that time, and one burst.
"""

import re
from dataclasses import dataclass
from typing import Self

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_RATE = re.compile(r"([1-9]\d{0,8})\s*/\s*(\w+)")

_SLACK = 1e-3
"""How much of one more the arithmetic of floats may cost or give, over a whole burst."""


class BadRateError(ValueError):
    """The text is no rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in ``seconds``; as many may come at once, and then as time goes by."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate in ``text``, such as ``60/minute``. Raises `BadRateError`."""
        match = _RATE.fullmatch(text.strip().lower())
        if match is None or match[2] not in _SECONDS:
            raise BadRateError(f"{text!r} is no rate such as 60/minute or 1000/hour")
        return cls(int(match[1]), _SECONDS[match[2]])

    def after_one_more(self, empty_at: float, now: float) -> float:
        """Return when the bucket will be empty if one more is counted ``now``."""
        return max(empty_at, now) + self.seconds / self.count

    def excess(self, empty_at: float, now: float) -> float:
        """Return for how many seconds a bucket is too full that will be empty then; 0 if not."""
        over = empty_at - now - self.seconds
        return over if over > _SLACK * self.seconds / self.count else 0.0

    def __str__(self) -> str:
        names = {seconds: name for name, seconds in _SECONDS.items()}
        return f"{self.count}/{names.get(self.seconds, f'{self.seconds}s')}"
