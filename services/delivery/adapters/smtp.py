"""Carries legs to remote servers over SMTP, on connections that are kept (RFC 5321 §5.1)."""

import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from kernel.blobs.port import Blobs
from kernel.model.envelope import Blob, Body, Envelope
from kernel.model.events import MailRouted, Remote
from kernel.model.reply import Reply
from services.delivery.adapters.connection import (
    CannotConnectError,
    Connection,
    TlsBrokenError,
)
from services.delivery.adapters.pool import Lane
from services.delivery.core.mailing import NEEDS_REQUIRETLS, Mailing, is_guarded
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase, SmtpClient
from services.delivery.ports import Carried, Directions, Later, Site

CANNOT_CONNECT = Reply(451, "4.4.1", "No server of the domain takes our connection")
CANNOT_PROVE = Reply(451, "4.7.5", "No server of the domain proves under TLS who it is")
SITE_IS_BUSY = Reply(451, "4.3.2", "As many messages as may be are under way to this site")


@dataclass(frozen=True, slots=True)
class Manners:
    """How we behave towards a site. Times are in seconds; each phase has its own."""

    our_name: str
    timeouts: Mapping[Phase, float]
    connect_timeout: float = 30.0
    connections: int = 20
    mailings: int = 100
    patience: float = 1.0


class SmtpCourier:
    """Tries the hosts of a site in turn; keeps the connection that worked. A context manager."""

    def __init__(
        self,
        directions: Directions,
        blobs: Blobs,
        manners: Manners,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """``trust`` tells which certificates are good; those of the system's authorities."""
        self._directions = directions
        self._blobs = blobs
        self._manners = manners
        self._tls = _opportunistic_tls()
        self._trust = trust or ssl.create_default_context()
        self._lanes: dict[str, Lane] = {}

    async def carry(self, leg: MailRouted) -> Carried | Later:
        """Try once. A remote's failure is a `Reply`."""
        assert isinstance(leg.hop, Remote)  # noqa: S101 - main gives us no other
        site = await self._find(leg.hop.domain, guarded=is_guarded(leg.envelope))
        if isinstance(site, Reply):
            return _for_all(leg.envelope, site)
        lane = self._lane(site)
        if not await lane.enter():
            return Later(SITE_IS_BUSY)
        try:
            return await self._converse(lane, site, leg.envelope)
        finally:
            lane.leave()
            self._tidy(site)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        for lane in tuple(self._lanes.values()):
            lane.close()

    async def _find(self, domain: str, *, guarded: bool) -> Site | Reply:
        """Return where mail for ``domain`` goes.

        For guarded mail, DNS that nobody has signed is no answer (RFC 8689 §4.2.1).
        """
        site = await self._directions.find(domain)
        if isinstance(site, Reply) or not guarded:
            return site
        if not site.is_ours_to_name:
            return NEEDS_REQUIRETLS
        return replace(site, name=f"{site.name} guarded", guarded=True)

    async def _converse(self, lane: Lane, site: Site, envelope: Envelope) -> Carried:
        """Use a kept connection, or a new one if there is none or it has gone meanwhile."""
        kept = lane.take()
        if kept is not None:
            carried = await self._send(kept, lane, envelope)
            if kept.client.failure is None or kept.client.committed:
                return carried
        fresh = await self._open_any(site)
        if isinstance(fresh, Reply):
            return _for_all(envelope, fresh)
        return await self._send(fresh, lane, envelope)

    async def _send(self, connection: Connection, lane: Lane, envelope: Envelope) -> Carried:
        mailing, chunks = await self._mailing(envelope, connection.client)
        await connection.send(mailing, chunks)
        if connection.client.mailings < self._manners.mailings:
            lane.keep(connection)
        else:
            connection.close()
        return Carried(connection.client.replies, connection.host)

    async def _mailing(
        self, envelope: Envelope, client: SmtpClient
    ) -> tuple[Mailing, AsyncIterator[bytes] | None]:
        content = envelope.content
        if not isinstance(content, Blob):
            return Mailing(envelope, content, eight_bit=not content.isascii()), None
        if "8BITMIME" in client.offers:
            eight_bit = envelope.smtputf8 or envelope.body is not Body.SEVEN_BIT
        else:
            eight_bit = await self._is_eight_bit(content)
        return Mailing(envelope, None, eight_bit=eight_bit), self._blobs.read(content.id)

    async def _is_eight_bit(self, blob: Blob) -> bool:
        async for chunk in self._blobs.read(blob.id):
            if not chunk.isascii():
                return True
        return False

    async def _open_any(self, site: Site) -> Connection | Reply:
        """Return a connection to the first host that greets us, or why none does.

        If one of them may do so later, that is the last word: the others are not all.
        """
        refusals: list[Reply] = []
        for host in site.hosts:
            opened = await self._open(host, site)
            if isinstance(opened, Connection):
                return opened
            refusals.append(opened)
        return next((reply for reply in refusals if reply.is_transient), refusals[0])

    async def _open(self, host: Host, site: Site) -> Connection | Reply:
        try:
            return await self._dial(host, site, use_tls=True)
        except TlsBrokenError:
            if site.guarded:
                return CANNOT_PROVE
            # opportunistic: in the clear rather than not at all (RFC 7435)
        except CannotConnectError:
            return CANNOT_CONNECT
        try:
            return await self._dial(host, site, use_tls=False)
        except CannotConnectError:
            return CANNOT_CONNECT

    async def _dial(self, host: Host, site: Site, *, use_tls: bool) -> Connection | Reply:
        manners = self._manners
        client = SmtpClient(manners.our_name, use_tls=use_tls)
        connection = Connection(client, host, manners.timeouts, partial(self._drop, site))
        tls = self._trust if site.guarded else self._tls
        await connection.open(tls, manners.connect_timeout)
        return client.failure or connection

    def _lane(self, site: Site) -> Lane:
        lane = self._lanes.get(site.name)
        if lane is None:
            lane = Lane(self._manners.connections, self._manners.patience)
            self._lanes[site.name] = lane
        return lane

    def _drop(self, site: Site, connection: Connection) -> None:
        lane = self._lanes.get(site.name)
        if lane is not None:
            lane.drop(connection)
            self._tidy(site)

    def _tidy(self, site: Site) -> None:
        """Forget a site with which nothing goes on."""
        lane = self._lanes.get(site.name)
        if lane is not None and lane.is_unused:
            del self._lanes[site.name]


def _for_all(envelope: Envelope, reply: Reply) -> Carried:
    return Carried({recipient.address: reply for recipient in envelope.recipients})


def _opportunistic_tls() -> ssl.SSLContext:
    """Whoever has the certificate: secret from bystanders is better than in the clear."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
