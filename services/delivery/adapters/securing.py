"""Secures conversations as they are demanded: TLS contexts, and who a server proves to be."""

import _ssl
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kernel.clock import Clock
from services.delivery.adapters.connection import Securing, TlsBrokenError
from services.delivery.core.dane import Dane, UnprovedError, prove
from services.delivery.core.demands import Demand, Level
from services.delivery.core.routes import Host
from services.delivery.core.tlsrpt import Result

_EXPIRED, _OTHER_NAME = {9, 10}, {62, 64}
_NOT_TRUSTED = {2, 18, 19, 20, 21, 24, 25, 26, 27, 28}
"""Codes of OpenSSL's x509_vfy.h."""


class Securer:
    """Knows whom we trust. ``trust`` tells which authorities are good: else the system's."""

    def __init__(self, clock: Clock, trust: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._anybody = _anybody()
        self._trust = trust or trusting()

    def securing(self, demand: Demand, host: Host, domain: str) -> Securing:
        """Return our side of a handshake with ``host``, which takes mail for ``domain``."""
        if demand.level is not Level.PROVED:
            return Securing(self._anybody)
        if demand.dane is None:
            return Securing(self._trust)
        names = tuple(filter(None, (demand.dane.base, host.name, domain)))  # RFC 7672 §3.2.2
        return Securing(self._anybody, partial(self._examine, demand.dane, names))

    def _examine(self, dane: Dane, names: Sequence[str], secured: ssl.SSLObject) -> None:
        try:
            prove(dane, names, _chain(secured), self._clock())
        except UnprovedError as error:
            raise TlsBrokenError(str(error)) from error


def trusting(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return what trusts the authorities in ``ca_file``, or those of the system. Blocks.

    What else a certificate lacks (Python since 3.13 looks, at key identifiers for one) is its
    authority's business: many a private one would keep mail waiting.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def result_of(error: TlsBrokenError) -> Result:
    """Return what a report calls this failure (RFC 8460 §4.3)."""
    cause = error.__cause__
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return Result.VALIDATION_FAILURE
    if cause.verify_code in _EXPIRED:
        return Result.CERTIFICATE_EXPIRED
    if cause.verify_code in _OTHER_NAME:
        return Result.CERTIFICATE_HOST_MISMATCH
    if cause.verify_code in _NOT_TRUSTED:
        return Result.CERTIFICATE_NOT_TRUSTED
    return Result.VALIDATION_FAILURE


def _chain(secured: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the server has sent, its own first (DER).

    Python has this in public since 3.13, and the same underneath since 3.10.
    """
    if hasattr(secured, "get_unverified_chain"):
        return list(secured.get_unverified_chain())
    chain = secured._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return [one.public_bytes(_ssl.ENCODING_DER) for one in chain or ()]


def _anybody() -> ssl.SSLContext:
    """Whoever has the certificate: secret from bystanders is better than in the clear."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
