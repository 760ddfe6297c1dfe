"""Canonical forms: which octets of a header are signed, and how (RFC 6376 §3.4, §3.7, §5.4.2)."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kernel.dkim.fields import HeaderField

_SPACE = re.compile(rb"[ \t]+")
_OWN_B = re.compile(rb"(^|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")

CanonicalField = Callable[[HeaderField], bytes]


@dataclass(frozen=True, slots=True)
class Canon:
    """How a body becomes the octets that are hashed (§3.4), and how many of them (§3.5, l=)."""

    relaxed: bool
    limit: int | None = None


def relaxed(field: HeaderField) -> bytes:
    """Return a field in the relaxed form (§3.4.2)."""
    value = _SPACE.sub(b" ", field.value.replace(b"\r\n", b"")).strip(b" \t")
    return field.name.encode() + b":" + value


def simple(field: HeaderField) -> bytes:
    """Return a field in the simple form (§3.4.1): as it is."""
    return field.raw


def chosen(names: Iterable[str], fields: Iterable[HeaderField]) -> list[HeaderField]:
    """Return the fields that ``names`` mean: of several of one name the last comes first (§5.4.2).

    A name that stands there more often than its field means nothing, and signs that nothing.
    """
    left: defaultdict[str, list[HeaderField]] = defaultdict(list)
    for field in fields:
        left[field.name].append(field)
    return [left[name].pop() for name in names if left[name]]


def without_signature(field: HeaderField) -> HeaderField:
    """Return a signature's own field as it is signed: its ``b=`` is empty (§3.7)."""
    name, colon, value = field.raw.partition(b":")
    return HeaderField(field.name, name + colon + _OWN_B.sub(rb"\1\2", value, count=1))


def octets_to_sign(
    fields: Sequence[HeaderField], own: HeaderField, canonical: CanonicalField = relaxed
) -> bytes:
    """Return what is signed of a header: ``fields``, and last the signature's own field."""
    return lines(fields, canonical) + canonical(without_signature(own))


def lines(fields: Iterable[HeaderField], canonical: CanonicalField = relaxed) -> bytes:
    """Return ``fields`` in a canonical form, each with its line end."""
    return b"".join(canonical(field) + b"\r\n" for field in fields)
