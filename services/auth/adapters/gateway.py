"""The gateway of the network that we are in, as Linux tells it.

Behind a proxy, such as the one of Docker, strangers can seem to come from there.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from services.auth.core.lan import GATEWAY

_ROUTES = Path("/proc/net/route")
_ANYWHERE = "00000000"


def spelled_out(networks: Iterable[str], routes: Path = _ROUTES) -> tuple[str, ...]:
    """Return ``networks`` with addresses in place of `GATEWAY`; none where nobody can tell."""
    return tuple(
        found
        for network in networks
        for found in (_gateways(routes) if network == GATEWAY else (network,))
    )


def _gateways(routes: Path) -> tuple[str, ...]:
    """Return whom packets for anywhere are given to; the table has addresses as hosts keep them."""
    try:
        rows = [line.split() for line in routes.read_text().splitlines()[1:]]
    except OSError:
        return ()
    found = [row[2] for row in rows if row[1] == _ANYWHERE != row[2]]
    return tuple(str(IPv4Address(bytes.fromhex(octets)[::-1])) for octets in found)
