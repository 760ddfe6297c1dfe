"""Carries legs to remote servers over SMTP, on connections that are kept (RFC 5321 §5.1)."""

from dataclasses import dataclass, replace
from functools import partial

from kernel.model.envelope import Envelope
from kernel.model.events import MailRouted, Remote
from kernel.model.reply import Reply
from services.delivery.adapters.connection import Connection
from services.delivery.adapters.dialling import Dialler
from services.delivery.adapters.pool import Lane
from services.delivery.adapters.preparing import Preparer
from services.delivery.core.mailing import NEEDS_REQUIRETLS, is_guarded
from services.delivery.ports import Carried, Directions, Later, Site

SITE_IS_BUSY = Reply(451, "4.3.2", "As many messages as may be are under way to this site")


@dataclass(frozen=True, slots=True)
class Manners:
    """How much we ask of a site at a time. ``patience`` is in seconds."""

    connections: int = 20
    mailings: int = 100
    patience: float = 1.0


class SmtpCourier:
    """Tries the hosts of a site in turn; keeps the connection that worked. A context manager."""

    def __init__(
        self, directions: Directions, dialler: Dialler, preparer: Preparer, manners: Manners
    ) -> None:
        self._directions = directions
        self._dialler = dialler
        self._preparer = preparer
        self._manners = manners
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
            return await self._converse(lane, site, leg)
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
        if not site.is_certain:
            return NEEDS_REQUIRETLS
        return replace(site, name=f"{site.name} guarded", guarded=True)

    async def _converse(self, lane: Lane, site: Site, leg: MailRouted) -> Carried:
        """Use a kept connection, or a new one if there is none or it has gone meanwhile."""
        kept = lane.take()
        if kept is not None:
            carried = await self._send(kept, lane, leg)
            if kept.client.failure is None or kept.client.committed:
                return carried
        fresh = await self._dialler.open(site, partial(self._drop, site))
        if isinstance(fresh, Reply):
            return _for_all(leg.envelope, fresh)
        return await self._send(fresh, lane, leg)

    async def _send(self, connection: Connection, lane: Lane, leg: MailRouted) -> Carried:
        mailing, chunks = await self._preparer.prepare(leg, connection.client)
        await connection.send(mailing, chunks)
        if connection.client.mailings < self._manners.mailings:
            lane.keep(connection)
        else:
            connection.close()
        passed_dsn = "DSN" in connection.client.offers
        return Carried(connection.client.replies, connection.host, passed_dsn)

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
