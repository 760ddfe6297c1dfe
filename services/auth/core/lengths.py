"""Lengths of time as people write them: ``90s``, ``15m``, ``4h``, ``5d``; plain seconds too."""

import re
from datetime import timedelta

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
LENGTH = r"^[1-9][0-9]{0,8}[smhd]?$"
LONGEST = timedelta(days=365)


class BadLengthError(ValueError):
    """The text is no length of time, or one that nobody means."""


def parse_length(text: str) -> timedelta:
    """Return the length in ``text``, up to `LONGEST`. Raises `BadLengthError`."""
    if not re.fullmatch(LENGTH, text, re.ASCII):
        raise BadLengthError(f"{text!r} is no length of time such as 90s, 15m, 4h or 5d")
    unit = text[-1] if text[-1] in _UNITS else "s"
    seconds = int(text.rstrip("smhd")) * _UNITS[unit]
    if seconds > LONGEST.total_seconds():
        raise BadLengthError(f"{text} is longer than {spelled(LONGEST)}")
    return timedelta(seconds=seconds)


def spelled(length: timedelta) -> str:
    """Return ``length``, of whole seconds, in the largest unit that gives a whole number."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
