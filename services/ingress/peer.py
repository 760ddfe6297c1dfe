"""Peer: who is at the other end of a transport."""

import asyncio
import ssl

from kernel.listening import HANDSHAKE, SHUTDOWN
from kernel.tls import Certificates
from services.ingress.core.effects import Tls


def tls_of(transport: asyncio.BaseTransport, certificates: Certificates) -> Tls | None:
    """Return the protection of a connection that has any, by one of ``certificates``."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None:
        return None
    cipher, *_ = secured.cipher() or ("unknown",)
    return Tls(secured.version() or "TLS", cipher, certificates.binding_of(secured))


async def take_up_tls(
    transport: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext
) -> asyncio.Transport | None:
    """Do our part of the handshake. Raises `OSError`; None if the client has gone meanwhile."""
    return await asyncio.get_running_loop().start_tls(
        transport,
        protocol,
        context,
        server_side=True,
        ssl_handshake_timeout=HANDSHAKE,
        ssl_shutdown_timeout=SHUTDOWN,
    )
