"""Peer: who is at the other end of a transport."""

import asyncio
from ipaddress import IPv6Address, ip_address

from services.ingress.core.effects import Tls


def plain_address(host: str) -> str:
    """Return an IPv4 address that came in over IPv6 as what it is."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def tls_of(transport: asyncio.BaseTransport, binding: bytes) -> Tls | None:
    """Return the protection of a connection that has any, by a certificate with ``binding``."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None:
        return None
    return Tls(secured.version() or "TLS", (secured.cipher() or ("unknown",))[0], binding)
