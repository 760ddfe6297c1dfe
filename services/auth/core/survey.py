"""A survey: what DNS says of a domain of ours and of our server; and what is found in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.auth.core.dkim import DkimKey


class State(StrEnum):
    """How a matter stands."""

    OK = "ok"
    MISSING = "missing"  # nothing is there that should be
    WRONG = "wrong"  # something else is there
    ADVICE = "advice"  # mail flows without it
    UNKNOWN = "unknown"  # nobody answered: ask again later


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a zone file has it."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """How one matter stands: what was ``found``, why that will not do, what to publish."""

    check: str
    state: State
    why: str = ""
    found: tuple[str, ...] = ()
    publish: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """What DNS says under ``name``; ``trouble`` is why it said nothing.

    ``canonical`` is where aliases have led to.
    """

    name: str
    kind: str
    records: tuple[str, ...] = ()
    trouble: str = ""
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The policy file of MTA-STS, or why it is not to be had."""

    text: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """What is said of our server.

    ``addresses`` are those from which our mail comes, as the administrator has named them, or
    else as DNS has them of ``hostname`` (``host``). ``reverse`` has the names of each,
    ``forward`` the addresses of these names, and ``spf`` what the domain says of each.
    """

    hostname: str
    addresses: tuple[str, ...]
    host: tuple[Lookup, ...]
    reverse: Mapping[str, Lookup]
    forward: Mapping[str, tuple[Lookup, ...]]
    spf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Zone:
    """What a domain says. ``dmarc`` has its own policy and those above it, nearest first."""

    mx: Lookup
    txt: Lookup
    dmarc: tuple[Lookup, ...]
    keys: tuple[tuple[DkimKey, Lookup], ...]
    sts: Lookup
    policy: Fetched | None
    tlsrpt: Lookup


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was asked about a domain, and when."""

    domain: str
    server: Server
    zone: Zone
    at: datetime
