"""Opens connections: to the first host of a site that greets us, under TLS where that is asked."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe

from kernel.model.reply import Reply
from services.delivery.adapters.connection import (
    CannotConnectError,
    Connection,
    TlsBrokenError,
)
from services.delivery.core.login import credentials_for
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase, SmtpClient
from services.delivery.ports import Site

CANNOT_CONNECT = Reply(451, "4.4.1", "No server of the domain takes our connection")
CANNOT_PROVE = Reply(451, "4.7.5", "No server of the domain proves under TLS who it is")


@dataclass(frozen=True, slots=True)
class Dialling:
    """How we call. Times are in seconds; each phase has its own."""

    our_name: str
    timeouts: Mapping[Phase, float]
    connect_timeout: float = 30.0


class Dialler:
    """Dials sites. ``trust`` tells which certificates are good: else what the system trusts."""

    def __init__(self, dialling: Dialling, trust: ssl.SSLContext | None = None) -> None:
        self._dialling = dialling
        self._tls = _opportunistic_tls()
        self._trust = trust or ssl.create_default_context()
        self._without_bdat: set[Host] = set()

    async def open(self, site: Site, when_over: Callable[[Connection], None]) -> Connection | Reply:
        """Return a connection to the first host that greets us, or why none does.

        If one of them may do so later, that is the last word: the others are not all.
        """
        refusals: list[Reply] = []
        for host in site.hosts:
            opened = await self._open(host, site, when_over)
            if isinstance(opened, Connection):
                return opened
            refusals.append(opened)
        return next((reply for reply in refusals if reply.is_transient), refusals[0])

    async def _open(
        self, host: Host, site: Site, when_over: Callable[[Connection], None]
    ) -> Connection | Reply:
        try:
            return await self._dial(host, site, when_over, use_tls=True)
        except TlsBrokenError:
            if site.guarded:
                return CANNOT_PROVE
            # opportunistic: in the clear rather than not at all (RFC 7435)
        except CannotConnectError:
            return CANNOT_CONNECT
        try:
            return await self._dial(host, site, when_over, use_tls=False)
        except CannotConnectError:
            return CANNOT_CONNECT

    async def _dial(
        self, host: Host, site: Site, when_over: Callable[[Connection], None], *, use_tls: bool
    ) -> Connection | Reply:
        dialling, route = self._dialling, site.route
        client = SmtpClient(
            dialling.our_name,
            use_tls=use_tls,
            implicit_tls=route is not None and route.implicit_tls,
            credentials=credentials_for(route, host.address, token_urlsafe()),
            chunking=host not in self._without_bdat,
        )

        def over(connection: Connection) -> None:
            if client.refuses_bdat:
                self._without_bdat.add(host)
            when_over(connection)

        source = route.source if route is not None else ""
        connection = Connection(client, host, dialling.timeouts, over, source=source)
        await connection.open(self._trust if site.guarded else self._tls, dialling.connect_timeout)
        return client.failure or connection


def _opportunistic_tls() -> ssl.SSLContext:
    """Whoever has the certificate: secret from bystanders is better than in the clear."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
