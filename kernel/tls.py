"""TLS: our side of it. Which certificate is shown to whom, always as the files have it now.

Files are looked at every few seconds, symbolic links too. A connection keeps the certificate
that it was shown; the next one is shown the new. What cannot be loaded is refused, and what
was shown before stays.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from prometheus_client import Gauge

from kernel.certificate import (
    BadCertificateError,
    Certificate,
    CertificateSettings,
    Context,
    Pair,
    load,
    our_side,
    pairs,
    state_of,
)
from kernel.clock import Clock
from kernel.tasks import end_all

LOOK_EVERY = 2.0
"""Seconds. New files are loaded once they have stayed as they are for that long."""
_SOON = timedelta(days=14)
_REMIND = timedelta(days=1)
_TICKETS = timedelta(days=1)

_EXPIRES = Gauge(
    "postroom_tls_expires_timestamp_seconds", "When a certificate that we show ends.", ["name"]
)

_log = structlog.get_logger("tls")

States = Mapping[Pair, tuple[tuple[int, ...], ...]]


@asynccontextmanager
async def open_certificates(
    settings: CertificateSettings,
    hostname: str,
    clock: Clock,
    *,
    clients: Path | None = None,
    look_every: float = LOOK_EVERY,
) -> AsyncIterator["Certificates"]:
    """Yield what we show; it follows the files meanwhile. Raises `BadCertificateError`."""
    shown = await asyncio.to_thread(Certificates, settings, hostname, clock, clients)
    following = asyncio.create_task(shown.follow(look_every))
    try:
        yield shown
    finally:
        await end_all([following])


class Certificates:
    """What we show. ``context`` is our side of TLS for the next connection.

    It shows whatever is right for as long as we run; but a new one each day has new keys for
    session tickets (RFC 9325 §3.4), which would open all sessions that they had resumed.
    ``asking`` asks clients for a certificate too; it is None if nobody vouches for any
    (``clients``).
    """

    def __init__(
        self,
        settings: CertificateSettings,
        hostname: str,
        clock: Clock,
        clients: Path | None = None,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._hostname = hostname
        self._clock = clock
        self._tried: States = {}
        self._before: States = {}
        self._shown: dict[Pair, Certificate] = {}
        self._by_name: dict[str, Certificate] = {}
        self._default: Certificate
        self._reminded: dict[Pair, datetime] = {}
        self._begin()
        self._made = clock()
        self.context = self._make_context()
        self.asking = self._make_asking() if clients else None

    @property
    def binding(self) -> bytes:
        """What SASL binds to for a client that names no server."""
        return self._default.context.binding

    def context_for(self, *, asks: bool) -> ssl.SSLContext:
        """Return our side for the next connection, which ``asks`` for a certificate if it can."""
        return self.asking if asks and self.asking is not None else self.context

    def binding_of(self, secured: ssl.SSLObject) -> bytes:
        """Return what SASL binds to: the certificate that was shown on this very connection.

        A session that was resumed has shown none, and its first one may have been another.
        """
        context = secured.context
        return (
            context.binding if isinstance(context, Context) and not secured.session_reused else b""
        )

    async def follow(self, every: float) -> None:
        """Keep up with the files until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await asyncio.to_thread(self.look)
            except OSError as error:
                _log.error("cannot look for certificates", why=str(error))

    def look(self) -> None:
        """Load what has changed and stays so, since we last looked. Raises `OSError`. Blocks."""
        found = self._find()
        if found == self._before and found != self._tried:
            self._load(found)
        self._before = found
        self._remind()
        if self._clock() - self._made >= _TICKETS:
            self._made = self._clock()
            self.context = self._make_context()
            self.asking = self._make_asking() if self._clients else None

    def _make_context(self) -> ssl.SSLContext:
        context = our_side()
        context.sni_callback = self._choose
        return context

    def _make_asking(self) -> ssl.SSLContext:
        """Return a context that takes clients without a certificate, but none with a wrong one.

        No session is resumed: who is vouched for is looked at each time.
        """
        context = self._make_context()
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        return context

    def _begin(self) -> None:
        self._before = self._find()
        self._load(self._before)
        if not self._shown:
            tried = ", ".join(str(pair.chain) for pair in self._before)
            raise BadCertificateError(f"there is none to show; tried {tried}")
        self._remind()

    def _find(self) -> States:
        found = pairs(self._settings, self._hostname, self._clock())
        vouching = state_of(self._clients) if self._clients else ()
        return {pair: (*pair.state(), vouching) for pair in found}

    def _load(self, found: States) -> None:
        """Load what is new; keep what we have where that fails."""
        shown = {}
        for pair, state in found.items():
            known = self._shown.get(pair)
            is_new = self._tried.get(pair) != state
            certificate = self._load_one(pair, known) if is_new else known
            if certificate is not None:
                shown[pair] = certificate
        self._tried = found
        if shown:
            self._show(shown)

    def _load_one(self, pair: Pair, known: Certificate | None) -> Certificate | None:
        try:
            alive_at = self._clock() if known else None
            certificate = load(pair, alive_at=alive_at, clients=self._clients)
        except BadCertificateError as error:
            _log.error("certificate refused", name=pair.name, why=str(error), kept=bool(known))
            return known
        _log.info(
            "certificate",
            name=pair.name,
            names=sorted(certificate.names),
            ends=str(certificate.ends),
        )
        return certificate

    def _show(self, shown: dict[Pair, Certificate]) -> None:
        for pair in self._shown.keys() - shown.keys():
            with suppress(KeyError):  # another service of this process was faster
                _EXPIRES.remove(pair.name)
        for pair, certificate in shown.items():
            _EXPIRES.labels(pair.name).set(certificate.ends.timestamp())
        by_name: dict[str, Certificate] = {}
        for certificate in shown.values():
            for name in certificate.names:
                by_name.setdefault(name, certificate)
        self._shown, self._by_name = shown, by_name
        self._default = next(iter(shown.values()))

    def _remind(self) -> None:
        now = self._clock()
        for pair, certificate in self._shown.items():
            is_told = (
                now - self._reminded.get(pair, datetime.min.replace(tzinfo=now.tzinfo)) < _REMIND
            )
            if certificate.ends - now < _SOON and not is_told:
                self._reminded[pair] = now
                _log.warning("a certificate ends soon", name=pair.name, ends=str(certificate.ends))

    def _choose(self, secured: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Show the certificate for the name that is asked for (RFC 6066 §3), or the default."""
        asked = (name or "").lower()
        wildcard = f"*.{asked.partition('.')[2]}"
        chosen = self._by_name.get(asked) or self._by_name.get(wildcard) or self._default
        secured.context = chosen.context
