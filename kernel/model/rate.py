"""Rate: how much of something may happen in a stretch of time."""

import re
from dataclasses import dataclass
from typing import Self

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_RATE = re.compile(r"([1-9]\d{0,8})\s*/\s*(\w+)")


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

    def __str__(self) -> str:
        names = {seconds: name for name, seconds in _SECONDS.items()}
        return f"{self.count}/{names.get(self.seconds, f'{self.seconds}s')}"
