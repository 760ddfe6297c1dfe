"""Patterns of addresses: ``ann@ours.test``, ``*@ours.test``, ``ours.test``, ``*.ours.test``.

A ``*`` stands for any characters; a bare domain stands for everybody in it. Case
does not count.
"""

import re
from collections.abc import Collection
from functools import lru_cache

from kernel.model.address import Address

_SHAPE = re.compile(r"[^@\s]+|[^\s]+@[^@\s]+")


class BadPatternError(ValueError):
    """The text is not a pattern of addresses."""


def parse_pattern(text: str) -> str:
    """Return the canonical form of a pattern, or raise `BadPatternError`."""
    pattern = text.strip().casefold().removeprefix("@")
    if not _SHAPE.fullmatch(pattern):
        raise BadPatternError(
            f"{text!r} is no pattern of addresses: write ann@example.org, *@example.org, "
            "example.org or *.example.org"
        )
    return pattern


def is_everybody(pattern: str) -> bool:
    """Whether ``pattern`` matches addresses of every domain."""
    return not pattern.rpartition("@")[2].strip("*.")


def matches_any(patterns: Collection[str], address: Address | None) -> bool:
    """Whether one of ``patterns`` matches ``address``; none matches the null sender."""
    if address is None or not patterns:
        return False
    return any(_matches(pattern, address) for pattern in patterns)


def _matches(pattern: str, address: Address) -> bool:
    local, at, domain = pattern.rpartition("@")
    if not _compiled(domain).fullmatch(address.domain):
        return False
    return not at or _compiled(local).fullmatch(address.local.casefold()) is not None


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in glob.split("*")), re.DOTALL)
