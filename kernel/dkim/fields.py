"""Fields: the header section, cut into its fields, each as it came (RFC 5322 §2.2)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NEXT_FIELD = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field. ``raw`` is all of it, without its last line end."""

    name: str
    raw: bytes

    @property
    def value(self) -> bytes:
        """What stands after the colon, folded as it came."""
        return self.raw.partition(b":")[2]


def split_header(header: bytes) -> tuple[HeaderField, ...]:
    """Return the fields of a header section. A line that is no field is left to its owner."""
    raws = _NEXT_FIELD.split(header.removesuffix(b"\r\n"))
    return tuple(HeaderField(_name_of(raw), raw) for raw in raws if raw)


def join_header(fields: Iterable[HeaderField]) -> bytes:
    """Return the header section that consists of ``fields``."""
    return b"".join(field.raw + b"\r\n" for field in fields)


def _name_of(raw: bytes) -> str:
    name, colon, _ = raw.partition(b":")
    return name.rstrip(b" \t").decode("ascii", "replace").lower() if colon else ""
