"""DKIM keys: which states they go through, and what DNS has to say of them (RFC 6376 §3.6)."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain, count, product
from string import ascii_lowercase

from kernel.dkim.tags import BadTagsError, parse_tags

LONGEST_NAME = 253  # octets, as DNS counts without the final dot (RFC 1035 §2.3.4)
LONGEST_STRING = 255  # octets in one string of a TXT record (RFC 1035 §3.3)
LONGEST_SELECTOR = 63
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class BadSelectorError(ValueError):
    """The text is no selector (RFC 6376 §3.1)."""


class Algorithm(StrEnum):
    """What signs: RFC 6376 §3.3, RFC 8463."""

    RSA = "rsa"
    ED25519 = "ed25519"


class KeyState(StrEnum):
    """Made and to be published; signing; replaced, and still there for mail on its way."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key as it was made: ``private`` is PEM (PKCS #8), ``public`` what stands in ``p=``."""

    algorithm: Algorithm
    bits: int
    public: str
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key of a domain; its private half is ``sealed``."""

    domain: str
    selector: str
    algorithm: Algorithm
    bits: int
    state: KeyState
    public: str
    created_at: datetime
    sealed: str = field(default="", repr=False)

    @property
    def record_name(self) -> str:
        """Where DNS is asked for the key (RFC 6376 §3.6.2.1)."""
        return record_name(self.selector, self.domain)

    @property
    def record(self) -> str:
        """What DNS should say there."""
        return f"v=DKIM1; k={self.algorithm}; p={self.public}"


def record_name(selector: str, domain: str) -> str:
    """Return the name of the TXT record of a key."""
    return f"{selector}._domainkey.{domain}"


def strings_of(record: str) -> list[str]:
    """Return ``record`` in strings that a TXT record can hold (RFC 6376 §3.6.2.2)."""
    return [record[at : at + LONGEST_STRING] for at in range(0, len(record), LONGEST_STRING)]


def parse_selector(text: str) -> str:
    """Return the canonical form of a selector, or raise `BadSelectorError`."""
    selector = text.lower()
    if len(selector) > LONGEST_SELECTOR or not _SELECTOR.fullmatch(selector):
        raise BadSelectorError("a selector has letters, digits, hyphens and dots: 2026a")
    return selector


def next_selector(year: int, taken: Collection[str]) -> str:
    """Return a selector that nobody has: ``2026a``, ``2026b``, … ``2026aa``."""
    return next(name for suffix in _suffixes() if (name := f"{year}{suffix}") not in taken)


def why_not_published(key: DkimKey, records: Sequence[str]) -> str:
    """Return why a verifier would not find ``key`` in the TXT ``records`` of its name."""
    if not records:
        return "DNS has no such record"
    if len(records) > 1:  # RFC 6376 §3.6.2.2: which one counts is not defined
        return f"DNS has {len(records)} records of that name, and there must be one"
    tags = _tags(records[0])
    if tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        return "what stands there is no DKIM key"
    public = "".join(tags["p"].split())
    if not public:
        return "the key there is revoked"
    is_ours = tags.get("k", Algorithm.RSA) == key.algorithm and public == key.public
    return "" if is_ours else "another key stands there"


def _tags(record: str) -> Mapping[str, str]:
    try:
        return parse_tags(record)
    except BadTagsError:
        return {}


def _suffixes() -> Iterator[str]:
    """Yield ``a``, …, ``z``, ``aa``, ``ab``, … without end."""
    return map("".join, chain.from_iterable(product(ascii_lowercase, repeat=n) for n in count(1)))
