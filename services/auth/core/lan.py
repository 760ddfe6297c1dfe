"""LAN: lists of networks, as administrators write them, and who is in them.

A network is written as CIDR (``10.0.0.0/8``, ``2001:db8::/32``), as a single
address, or in octet form (``192.168.1.*``).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Client = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WIDEST = {4: 8, 6: 7}
"""The shortest prefix by IP version: 10.0.0.0/8 and fc00::/7 are the widest private networks."""

GATEWAY = "gateway"
"""The word for the gateway of our own network, where its address is not known yet."""

_OCTET_FORM = re.compile(r"(?:\d{1,3}\.){0,3}(?:\*\.){0,3}\*")
_OCTETS = 4
_SITE_PREFIX = 64
_MAPPED_PREFIX = 96  # ::ffff:0:0/96 is IPv4 in disguise (RFC 4291 §2.5.5.2)


class BadNetworkError(ValueError):
    """The text is not a network, or is one that nobody should trust. Says why."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks to look clients up in; ``!`` before one takes its clients out again."""

    included: tuple[Network, ...] = ()
    excluded: tuple[Network, ...] = ()
    _inside: "_Prefixes" = field(init=False, repr=False, compare=False)
    _outside: "_Prefixes" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inside", _Prefixes.of(self.included))
        object.__setattr__(self, "_outside", _Prefixes.of(self.excluded))

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Networks":
        """Return the networks that ``patterns`` spell, or raise `BadNetworkError`."""
        wanted: list[Network] = []
        unwanted: list[Network] = []
        for pattern in patterns:
            target = unwanted if pattern.startswith("!") else wanted
            target.append(parse_network(pattern.removeprefix("!")))
        return cls(tuple(wanted), tuple(unwanted))

    def __contains__(self, client: Client | None) -> bool:
        return client is not None and client in self._inside and client not in self._outside

    def names_loopback(self, client: Client) -> bool:
        """Whether ``client`` is in here by a network that is of loopback addresses alone."""
        return client in self and any(
            client in network for network in self.included if network.is_loopback
        )


@dataclass(frozen=True, slots=True)
class _Prefixes:
    """Networks by version and length: however many there are, each length costs one look."""

    lengths: tuple[tuple[int, int, frozenset[int]], ...]

    @classmethod
    def of(cls, networks: Iterable[Network]) -> "_Prefixes":
        prefixes: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for network in networks:
            rest = network.max_prefixlen - network.prefixlen
            prefixes[network.version, rest].add(int(network.network_address) >> rest)
        return cls(tuple((*key, frozenset(found)) for key, found in prefixes.items()))

    def __contains__(self, client: Client) -> bool:
        address = int(client)
        return any(
            version == client.version and address >> rest in found
            for version, rest, found in self.lengths
        )


def parse_network(text: str) -> Network:
    """Return the network that ``text`` spells, or raise `BadNetworkError`."""
    spelled = _spell_out(text) if "*" in text else text
    try:
        network = ip_network(spelled.strip(), strict=False)
    except ValueError:
        raise BadNetworkError(
            f"{text!r} is no network: write 192.0.2.0/24, 2001:db8::/32, 192.0.2.7 or 192.168.1.*"
        ) from None
    return _unmapped(network)


def trusted_network(text: str) -> Network:
    """Return the network that ``text`` spells; refuse one so wide that strangers are in it."""
    network = parse_network(text)
    if network.prefixlen == 0:
        raise BadNetworkError(
            f"{text!r} is everybody: the whole world could then relay through this server. "
            "Name the networks of your own machines"
        )
    if is_too_wide(network):
        raise BadNetworkError(
            f"{text!r} is wider than any private network (/{WIDEST[network.version]} at most): "
            "strangers in it could then relay through this server"
        )
    return network


def is_too_wide(network: Network) -> bool:
    """Whether strangers must be in ``network``, as no private one is so wide."""
    return network.prefixlen < WIDEST[network.version]


@lru_cache(maxsize=4096)
def parse_client(text: str) -> Client | None:
    """Return the client's address; ``None`` for what is none, which is in no network.

    An IPv4 address mapped into IPv6, as dual-stack sockets show it, is that IPv4 address.
    """
    try:
        client = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(client, "ipv4_mapped", None) or client


def parse_literal(domain: str) -> Client | None:
    """Return the address that an address literal spells (RFC 5321 §4.1.3); ``None`` for a name."""
    if not domain.startswith("["):
        return None
    return parse_client(domain.strip("[]").removeprefix("ipv6:"))


def is_this_machine(client: Client | None) -> bool:
    """Whether who connects to that address comes back here, whichever machine this is."""
    return client is not None and (client.is_loopback or client.is_unspecified)


def neighbourhood(text: str) -> Network | str:
    """Return what a client can choose its address from at will; text that is no address is itself.

    That is one IPv4 address, but a whole /64 of IPv6 (RFC 6177 §2).
    """
    client = parse_client(text)
    if client is None:
        return text
    return ip_network((client, _SITE_PREFIX if client.version == 6 else 32), strict=False)  # noqa: PLR2004 - bits of IPv4, and IPv6's name


def _spell_out(text: str) -> str:
    """``192.168.1.*`` is ``192.168.1.0/24``."""
    octets = text.strip().split(".")
    if not _OCTET_FORM.fullmatch(text.strip()) or len(octets) != _OCTETS:
        return text
    known = [octet for octet in octets if octet != "*"]
    return ".".join(known + ["0"] * (_OCTETS - len(known))) + f"/{8 * len(known)}"


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_PREFIX:
        inner = network.network_address.ipv4_mapped
        if inner is not None:
            return IPv4Network((int(inner), network.prefixlen - _MAPPED_PREFIX))
    return network
