"""ARC sets: who has handled a message before, each with what it found out (RFC 8617)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernel.dkim.canon import lines, octets_to_sign
from kernel.dkim.fields import HeaderField
from kernel.dkim.tags import BadTagsError, parse_tags

RESULTS, MESSAGE, SEAL = "arc-authentication-results", "arc-message-signature", "arc-seal"
MAX_SETS = 50  # §4.2.1

_NAMES = (RESULTS, MESSAGE, SEAL)  # in the order in which they are sealed, §5.1.1
_NUMBER = re.compile(r"[0-9]{1,3}")
_FIRST = re.compile(rb"\s*i\s*=\s*([0-9]{1,3})\s*;")


class BadChainError(ValueError):
    """The sets of a message are not a chain (§5.2, step 3)."""


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set: results, the message's signature, and the seal upon all that was there."""

    results: HeaderField
    message: HeaderField
    seal: HeaderField

    @property
    def octets(self) -> bytes:
        """Itself, as later seals cover it (§5.1.1)."""
        return lines((self.results, self.message, self.seal))

    @property
    def chain(self) -> str:
        """What its seal says of those before it (``cv=``). Raises `BadChainError`."""
        try:
            return parse_tags(self.seal.value.decode("utf-8"))["cv"].lower()
        except (BadTagsError, UnicodeDecodeError, KeyError):
            raise BadChainError("a seal without cv=") from None


def has_sets(fields: Iterable[HeaderField]) -> bool:
    """Return whether there is anything of ARC in a header."""
    return any(field.name in _NAMES for field in fields)


def instances(fields: Iterable[HeaderField]) -> list[tuple[int, HeaderField]]:
    """Return the fields of ARC with the number of the set that each says it is of; 0 if none."""
    return [(_instance(field), field) for field in fields if field.name in _NAMES]


def chain_of(fields: Iterable[HeaderField]) -> tuple[ArcSet, ...]:
    """Return the sets of a message, the oldest first. Raises `BadChainError`."""
    found: dict[int, dict[str, HeaderField]] = {}
    for number, field in instances(fields):
        if field.name in found.setdefault(number, {}):
            raise BadChainError(f"{field.name} is there twice")
        found[number][field.name] = field
    if sorted(found) != list(range(1, len(found) + 1)) or len(found) > MAX_SETS:
        raise BadChainError("the sets are not numbered in turn")
    return tuple(_set(found[number]) for number in sorted(found))


def sealed_octets(before: bytes, latest: ArcSet) -> bytes:
    """Return the octets that the seal of ``latest`` covers, ``before`` being the earlier sets'."""
    return before + octets_to_sign((latest.results, latest.message), latest.seal)


def _set(fields: Mapping[str, HeaderField]) -> ArcSet:
    try:
        return ArcSet(*(fields[name] for name in _NAMES))
    except KeyError as missing:
        raise BadChainError(f"a set without {missing}") from None


def _instance(field: HeaderField) -> int:
    if field.name == RESULTS:  # §4.1.1: there it comes first
        match = _FIRST.match(field.value)
        return int(match[1]) if match else 0
    try:
        number = parse_tags(field.value.decode("utf-8")).get("i", "")
    except (BadTagsError, UnicodeDecodeError):
        return 0
    return int(number) if _NUMBER.fullmatch(number) else 0
