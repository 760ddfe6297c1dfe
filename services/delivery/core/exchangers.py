"""Which mail exchangers to try, and in what order (RFC 5321 §5.1)."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby

from kernel.model.reply import Reply
from services.delivery.core.routes import Host

NULL_MX = Reply(556, "5.1.10", "The domain takes no mail (null MX)")  # RFC 7505 §4.2
LOOP = Reply(554, "5.4.6", "Mail for the domain leads back to this server")
NO_SUCH_DOMAIN = Reply(550, "5.1.2", "The domain does not exist")
NO_HOST = Reply(550, "5.4.4", "The domain names no mail server that exists")
NO_DNS = Reply(451, "4.4.3", "The domain cannot be looked up now")
NO_TARGET = Reply(451, "4.4.3", "The servers that the route names cannot be found now")


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record. Its name is without the final dot; empty is the root."""

    preference: int
    name: str

    @classmethod
    def parse(cls, record: str) -> "Exchanger":
        """Return the record that ``10 mx.example.org`` spells."""
        preference, _, name = record.partition(" ")
        return cls(int(preference), name.rstrip("."))


def order(
    domain: str,
    exchangers: Sequence[Exchanger],
    our_name: str,
    shuffle: Callable[[list[Exchanger]], None],
) -> tuple[Exchanger, ...] | Reply:
    """Return the exchangers to try in turn, those of equal preference shuffled.

    A domain that names none is its own. Where we are named ourselves, only more
    preferred hosts may get it from us, or mail would run in circles (RFC 5321 §5.1).
    """
    if not exchangers:
        return (Exchanger(0, domain),)
    if [e.name for e in exchangers] == [""]:
        return NULL_MX
    ours = min((e.preference for e in exchangers if e.name == our_name.lower()), default=None)
    usable = sorted(
        (e for e in exchangers if e.name and (ours is None or e.preference < ours)),
        key=lambda e: e.preference,
    )
    if not usable:
        return NO_HOST if ours is None else LOOP
    return tuple(_shuffled(usable, shuffle))


def before_us(
    found: Sequence[tuple[Exchanger, tuple[Host, ...] | None]], ours: Container[str]
) -> tuple[tuple[Host, ...] | None, ...]:
    """Return the hosts of those exchangers that come before ourselves (RFC 5321 §5.1).

    We may be named by another name: our addresses, ``ours``, tell. ``None`` is a host of which
    nobody knows the addresses now.
    """
    named = (e.preference for e, hosts in found if any(h.address in ours for h in hosts or ()))
    limit = min(named, default=None)
    return tuple(hosts for e, hosts in found if limit is None or e.preference < limit)


def is_ourselves(address: str) -> bool:
    """Return whether a connection to ``address`` ends where it began.

    Anybody can point a domain there. We would then take the mail back from loopback,
    which may relay, and carry it round until it has been through too many hops.
    """
    parsed = ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return parsed.is_loopback or parsed.is_unspecified


def _shuffled(
    exchangers: Sequence[Exchanger], shuffle: Callable[[list[Exchanger]], None]
) -> list[Exchanger]:
    turns: list[Exchanger] = []
    for _, equals in groupby(exchangers, key=lambda e: e.preference):
        group = list(equals)
        shuffle(group)
        turns += group
    return turns
