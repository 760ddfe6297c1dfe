"""Peer: who is at the other end of a transport."""

import asyncio
import ssl
from hashlib import sha256

from cryptography import x509

from kernel.listening import HANDSHAKE, SHUTDOWN
from kernel.tls import Certificates
from services.ingress.core.effects import Tls


def tls_of(transport: asyncio.BaseTransport, certificates: Certificates) -> Tls | None:
    """Return the protection of a connection that has any, by one of ``certificates``."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None:
        return None
    cipher, *_ = secured.cipher() or ("unknown",)
    shown = secured.getpeercert(binary_form=True)
    who = (f"sha256:{sha256(shown).hexdigest()}", _holder_of(shown)) if shown else ()
    return Tls(secured.version() or "TLS", cipher, certificates.binding_of(secured), *who)


def _holder_of(certificate: bytes) -> str:
    """Return whom a certificate names: its subject, and its other names of hosts."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        subject = parsed.subject.rfc4514_string()
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return subject
    except ValueError:
        return ""
    return ", ".join(filter(None, (subject, *names.get_values_for_type(x509.DNSName))))


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
