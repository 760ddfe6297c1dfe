"""Opens connections: to the first host of a site that greets us, as secret as is demanded."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_urlsafe

from kernel.clock import Clock, system_clock
from kernel.model.reply import Reply
from services.delivery.adapters.calling import CannotConnectError, call
from services.delivery.adapters.connection import TIMED_OUT, Connection, TlsBrokenError
from services.delivery.adapters.securing import Securer, result_of
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.demands import (
    NOT_NAMED,
    Demand,
    Level,
    Source,
    demand_for,
    is_stray,
)
from services.delivery.core.login import credentials_for
from services.delivery.core.pace import share
from services.delivery.core.routes import Host, by_server
from services.delivery.core.smtp_client import Phase, SmtpClient
from services.delivery.core.tlsrpt import Failure, Policy, PolicyKind, Result
from services.delivery.ports import Site

CANNOT_CONNECT = Reply(451, "4.4.1", "No server of the domain takes our connection")
MOST_SPARED = 10_000

WhenOver = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Dialling:
    """How we call. Times are in seconds; each phase has its own.

    All servers of a site together have ``patience`` to greet us: less than an attempt may take,
    or those behind one that never does would never have their turn.
    """

    our_name: str
    timeouts: Mapping[Phase, float]
    connect_timeout: float = 30.0
    patience: float = 480.0


class Dialler:
    """Dials sites. ``trust`` tells which certificates are good: else what the system trusts."""

    def __init__(
        self,
        dialling: Dialling,
        trust: ssl.SSLContext | None = None,
        reports: TlsReports | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._dialling = dialling
        self._securer = Securer(clock, trust)
        self._reports = reports or TlsReports(clock, dialling.our_name)
        self._without_bdat: set[Host] = set()

    async def open(self, site: Site, when_over: WhenOver) -> Connection | Reply:
        """Return a connection to the first host that greets us, or why none does.

        If one of them may do so later, that is the last word: the others are not all.
        """
        refusals: list[Reply] = []
        servers = by_server(site.hosts)
        clock = asyncio.get_running_loop().time
        end = clock() + self._dialling.patience
        for number, hosts in enumerate(servers, start=1):
            patience = share(end - clock(), len(servers) - number)
            opened = await self._open_within(patience, hosts, site, when_over)
            if isinstance(opened, Connection):
                return opened
            refusals.append(opened)
        return _last_word(refusals)

    async def _open_within(
        self, patience: float, hosts: Sequence[Host], site: Site, when_over: WhenOver
    ) -> Connection | Reply:
        try:
            async with asyncio.timeout(patience) as limit:
                return await self._open(hosts, site, when_over)
        except TimeoutError:
            if not limit.expired():
                raise
            return TIMED_OUT

    async def _open(
        self, hosts: Sequence[Host], site: Site, when_over: WhenOver
    ) -> Connection | Reply:
        """Dial one server, at each of its addresses until one greets us (RFC 5321 §5.1)."""
        demand = self._demand(site, hosts[0])
        if demand is None:
            return NOT_NAMED
        refusals: list[Reply] = []
        left = list(hosts)
        while left:
            try:
                host, line = await self._call(left, site)
            except CannotConnectError:
                refusals.append(CANNOT_CONNECT)
                break
            opened = await self._converse(host, line, site, demand, when_over)
            if isinstance(opened, Connection):
                return opened
            refusals.append(opened)
            left.remove(host)
        return _last_word(refusals)

    async def _call(self, hosts: Sequence[Host], site: Site) -> tuple[Host, socket.socket]:
        source = site.route.source if site.route else ""
        return await call(hosts, source, self._dialling.connect_timeout)

    async def _converse(
        self, host: Host, line: socket.socket, site: Site, demand: Demand, when_over: WhenOver
    ) -> Connection | Reply:
        """Begin a conversation; where TLS fails and need not be, begin again with less."""
        while True:
            try:
                return await self._greet(host, line, site, demand, when_over)
            except TlsBrokenError as error:
                failure = Failure(result_of(error), host.name, host.address, str(error))
                self._reports.failed(_policy(site, demand), failure)
            if demand.otherwise is None:
                return demand.unmet(host.name)
            demand = demand.otherwise
            try:
                host, line = await self._call([host], site)
            except CannotConnectError:
                return CANNOT_CONNECT

    def _demand(self, site: Site, host: Host) -> Demand | None:
        """Return what is demanded of ``host``; that a policy does not name it is noted."""
        if site.sts is not None and is_stray(host, site.route, site.sts):
            policy = Policy(PolicyKind.STS, site.domain, site.sts.lines)
            why = "the policy does not name this host"
            self._reports.failed(policy, Failure(Result.VALIDATION_FAILURE, host.name, why=why))
        return demand_for(host, site.route, site.sts, guarded=site.guarded)

    async def _greet(
        self, host: Host, line: socket.socket, site: Site, demand: Demand, when_over: WhenOver
    ) -> Connection | Reply:
        """Return the conversation, or the server's refusal, or ours. Raises `TlsBrokenError`."""
        client = self._client(host, site, demand)

        def over(connection: Connection) -> None:
            if client.refuses_bdat:
                self._spare(host)
            when_over(connection)

        connection = Connection(client, host, self._dialling.timeouts, over)
        await connection.open(line, self._securer.securing(demand, host, site.domain))
        if client.failure:
            return client.failure
        version = connection.tls_version
        self._note(site, host, demand, version)
        if demand.needs_tls and not version:
            connection.close()
            return demand.refused(host.name)
        connection.host = replace(host, secured=demand.met(version))
        return connection

    def _spare(self, host: Host) -> None:
        """Send it no chunks from here on. If there are too many to remember, they say so again."""
        if len(self._without_bdat) >= MOST_SPARED:
            self._without_bdat.clear()
        self._without_bdat.add(host)

    def _note(self, site: Site, host: Host, demand: Demand, version: str) -> None:
        """Note what came of TLS; records of which none is usable are an error of the domain's."""
        if demand.is_strict and not version:
            result = Result.STARTTLS_NOT_SUPPORTED
        elif demand.source is Source.DANE and not demand.dane:
            result = Result.TLSA_INVALID
        else:
            if version:
                self._reports.succeeded(_policy(site, demand))
            return
        self._reports.failed(_policy(site, demand), Failure(result, host.name, host.address))

    def _client(self, host: Host, site: Site, demand: Demand) -> SmtpClient:
        return SmtpClient(
            self._dialling.our_name,
            use_tls=demand.level is not Level.CLEAR,
            implicit_tls=site.route is not None and site.route.implicit_tls,
            credentials=credentials_for(site.route, host.address, token_urlsafe()),
            login_in_the_clear=not demand.is_strict or demand.relaxed,
            chunking=host not in self._without_bdat,
        )


def _last_word(refusals: Sequence[Reply]) -> Reply:
    return next((reply for reply in refusals if reply.is_transient), refusals[0])


def _policy(site: Site, demand: Demand) -> Policy:
    """Return what a report calls the source of ``demand``."""
    if demand.source is Source.DANE and demand.dane:
        return Policy(PolicyKind.TLSA, site.domain, tuple(map(str, demand.dane.records)))
    if demand.source is Source.DANE:
        return Policy(PolicyKind.TLSA, site.domain)
    if demand.source is Source.MTA_STS and site.sts:
        return Policy(PolicyKind.STS, site.domain, site.sts.lines)
    return Policy(PolicyKind.NONE, site.domain)
