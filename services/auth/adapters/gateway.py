"""The gateways of the network that we are in, as Linux tells them.

Behind a proxy, such as the one of Docker, strangers can seem to come from there.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from services.auth.core.lan import GATEWAY

_ROUTES = Path("/proc/net")
_ANYWHERE, _NOBODY = "0" * 8, "0" * 8
_ANYWHERE_IPV6, _NOBODY_IPV6 = ("0" * 32, "00"), "0" * 32


def spelled_out(networks: Iterable[str], routes: Path = _ROUTES) -> tuple[str, ...]:
    """Return ``networks`` with addresses in place of `GATEWAY`; none where nobody can tell."""
    return tuple(
        found
        for network in networks
        for found in (_gateways(routes) if network == GATEWAY else (network,))
    )


def _gateways(routes: Path) -> tuple[str, ...]:
    """Return whom packets for anywhere are given to, over IPv4 and over IPv6."""
    ipv4 = [row[2] for row in _rows(routes / "route") if row[1] == _ANYWHERE and row[2] != _NOBODY]
    ipv6 = [
        row[4]
        for row in _rows(routes / "ipv6_route")
        if (row[0], row[1]) == _ANYWHERE_IPV6 and row[4] != _NOBODY_IPV6
    ]
    return (
        *(str(IPv4Address(bytes.fromhex(octets)[::-1])) for octets in ipv4),  # as the host has them
        *(str(IPv6Address(bytes.fromhex(octets))) for octets in ipv6),
    )


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        yield from (line.split() for line in table.read_text().splitlines())
    except OSError:
        return
