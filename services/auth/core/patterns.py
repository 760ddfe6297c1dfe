"""Patterns of addresses: ``ann@ours.test``, ``*@ours.test``, ``ours.test``, ``*.ours.test``.

A ``*`` stands for any characters; a bare domain stands for everybody in it. Case
does not count.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from kernel.model.address import Address, BadAddressError, parse_domain

LONGEST = 320  # characters; no address is longer (RFC 5321 §4.5.3.1)

_SOMEBODYS = 2
"""Labels of a domain that somebody has registered, at least."""
_GLOB_LABEL = re.compile(r"[A-Za-z0-9*-]+")


class BadPatternError(ValueError):
    """The text is not a pattern of addresses."""


def parse_pattern(text: str) -> str:
    """Return the canonical form of a pattern, or raise `BadPatternError`."""
    local, _, domain = text.strip().rpartition("@")
    try:
        who = f"{_parse_local(local)}@" if local else ""
        pattern = who + _parse_glob(domain)
    except BadAddressError:
        raise BadPatternError(
            f"{text!r} is no pattern of addresses: write ann@example.org, *@example.org, "
            "example.org or *.example.org"
        ) from None
    if len(pattern) > LONGEST:
        raise BadPatternError(f"a pattern has {LONGEST} characters at most")
    return pattern


def is_everybody(pattern: str) -> bool:
    """Whether ``pattern`` matches addresses all over the world: its top-level domain has a ``*``.

    ``*m`` is everybody in .com as well.
    """
    return "*" in _labels(pattern)[-1]


def is_too_wide(pattern: str) -> bool:
    """Whether strangers must be in ``pattern``: what follows its ``*`` is no domain of anybody's.

    ``*.com`` and ``*example.org`` are too wide, ``*.example.org`` is not.
    """
    return any("*" in label for label in _labels(pattern)[-_SOMEBODYS:])


def _labels(pattern: str) -> list[str]:
    return pattern.rpartition("@")[2].split(".")


def matches_any(patterns: Collection[str], address: Address | None) -> bool:
    """Whether one of ``patterns`` matches ``address``; none matches the null sender."""
    if address is None or not patterns:
        return False
    return any(_matches(pattern, address) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Many patterns: addresses, domains and suffixes are looked up; the ``others`` are tried."""

    addresses: frozenset[tuple[str, str]] = frozenset()
    domains: frozenset[str] = frozenset()
    suffixes: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Patterns":
        """Return an index of ``patterns``, which are in their canonical form."""
        addresses: set[tuple[str, str]] = set()
        domains: set[str] = set()
        suffixes: set[str] = set()
        others: list[str] = []
        for pattern in patterns:
            local, _, domain = pattern.rpartition("@")
            parent = domain.removeprefix("*.")
            if "*" in parent or ("*" in local and local != "*"):
                others.append(pattern)
            elif local in ("", "*"):
                (domains if parent == domain else suffixes).add(parent)
            elif parent == domain:
                addresses.add((_meaning(local), domain))
            else:
                others.append(pattern)
        return cls(frozenset(addresses), frozenset(domains), frozenset(suffixes), tuple(others))

    def match(self, address: Address | None) -> bool:
        """Whether one of them matches ``address``; none matches the null sender."""
        if address is None:
            return False
        domain = address.domain
        return (
            domain in self.domains
            or (address.local.casefold(), domain) in self.addresses
            or (bool(self.suffixes) and any(above in self.suffixes for above in _above(domain)))
            or matches_any(self.others, address)
        )


def _above(domain: str) -> Iterator[str]:
    """Yield what follows each dot of a domain."""
    _, dot, parent = domain.partition(".")
    while dot:
        yield parent
        _, dot, parent = parent.partition(".")


def _parse_local(local: str) -> str:
    """Return a local part in lower case, in quotes only where it needs them."""
    return str(Address.parse(f"{local}@x")).removesuffix("@x").casefold()


def _parse_glob(domain: str) -> str:
    """Return a domain as addresses have it, in A-labels, even if some labels have a ``*``."""
    name = domain.removesuffix(".")
    if "*" not in name:
        return parse_domain(name)
    return ".".join(_parse_label(label) for label in name.split("."))


def _parse_label(label: str) -> str:
    if "*" not in label:
        return parse_domain(label)
    if not _GLOB_LABEL.fullmatch(label):
        raise BadAddressError("the domain is malformed")
    return label.lower()


def _matches(pattern: str, address: Address) -> bool:
    local, at, domain = pattern.rpartition("@")
    if not _compiled(domain).fullmatch(address.domain):
        return False
    return not at or _compiled(_meaning(local)).fullmatch(address.local.casefold()) is not None


@lru_cache(maxsize=1024)
def _meaning(local: str) -> str:
    """Return a local part without the quotes that it may stand in."""
    return Address.parse(f"{local}@x").local if local.startswith('"') else local


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in glob.split("*")), re.DOTALL)
