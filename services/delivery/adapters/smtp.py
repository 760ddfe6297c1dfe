"""Carries legs to remote servers over SMTP, on connections that are kept (RFC 5321 §5.1)."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

from kernel.model.envelope import Envelope
from kernel.model.events import MailRouted, Remote
from kernel.model.reply import Reply
from services.delivery.adapters.connection import Connection
from services.delivery.adapters.dialling import Dialler
from services.delivery.adapters.pool import Pool
from services.delivery.adapters.preparing import Preparer
from services.delivery.core.mailing import NEEDS_REQUIRETLS, is_guarded
from services.delivery.ports import Carried, Directions, Later, Shaping, Site, Turn


class SmtpCourier:
    """Tries the hosts of a site in turn; keeps the connection that worked.

    ``mailings`` go over one connection, unless a route says otherwise.
    """

    def __init__(
        self,
        directions: Directions,
        dialler: Dialler,
        preparer: Preparer,
        shaping: Shaping,
        mailings: int = 100,
    ) -> None:
        self._directions = directions
        self._dialler = dialler
        self._preparer = preparer
        self._shaping = shaping
        self._mailings = mailings
        self._pool = Pool()
        self._in_use: Counter[str] = Counter()

    async def carry(self, leg: MailRouted) -> Carried | Later:
        """Try once. A remote's failure is a `Reply`."""
        assert isinstance(leg.hop, Remote)  # noqa: S101 - main gives us no other
        with self._shaping.holding(f"the way to {leg.hop.domain}") as refusal:
            if refusal is not None:
                return refusal
            site = await self._find(leg.hop.domain, guarded=is_guarded(leg.envelope))
        if isinstance(site, Reply):
            return _for_all(leg.envelope, site)
        with self._shaping.holding(site.name) as refusal:
            return refusal or await self._carry(site, leg)

    def trim(self) -> None:
        """Close the idle connections that are too many, now that there are more workers."""
        for site in self._pool.sites:
            self._make_room(site)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        self._pool.shrink(0)

    async def _carry(self, site: Site, leg: MailRouted) -> Carried | Later:
        turn = await self._shaping.enter(site)
        if isinstance(turn, Later):
            return turn
        self._in_use[site.name] += 1
        try:
            return await self._converse(turn, site, leg)
        finally:
            self._in_use[site.name] -= 1
            self._shaping.leave(turn)
            self._make_room(site.name)

    async def _find(self, domain: str, *, guarded: bool) -> Site | Reply:
        """Return where mail for ``domain`` goes.

        For guarded mail, DNS that nobody has signed is no answer (RFC 8689 §4.2.1).
        """
        site = await self._directions.find(domain)
        if isinstance(site, Reply) or not guarded:
            return site
        if not site.is_certain:
            return NEEDS_REQUIRETLS
        return replace(site, guarded=True)

    async def _converse(self, turn: Turn, site: Site, leg: MailRouted) -> Carried:
        """Use a kept connection, or a new one if there is none or it has gone meanwhile."""
        kept = self._pool.take(site.name, _way(site))
        if kept is not None:
            carried, failure = await self._send(kept, site, leg)
            if failure is None or kept.client.committed:
                self._shaping.note(turn, failure)
                return carried
        self._make_room(site.name)
        fresh = await self._dialler.open(site, self._pool.drop)
        if isinstance(fresh, Reply):
            self._shaping.note(turn, fresh)
            return _for_all(leg.envelope, fresh)
        carried, failure = await self._send(fresh, site, leg)
        self._shaping.note(turn, failure)
        return carried

    async def _send(
        self, connection: Connection, site: Site, leg: MailRouted
    ) -> tuple[Carried, Reply | None]:
        """Return what came of it, and why the connection is over if it is not by our own will."""
        client = connection.client
        try:
            mailing, chunks = await self._preparer.prepare(leg, client)
        except BaseException:
            connection.close()
            raise
        await connection.send(mailing, chunks)
        failure = client.failure
        most = site.route.messages_per_connection if site.route else None
        if client.mailings < (most or self._mailings):
            self._pool.keep(connection, site.name, _way(site))
        else:
            connection.close()
        return Carried(client.replies, connection.host, "DSN" in client.offers), failure

    def _make_room(self, site: str) -> None:
        """Close idle connections, where they and those in use are too many: there, or in all."""
        self._pool.shrink(self._shaping.room(site) - self._in_use[site], site)
        self._pool.shrink(self._shaping.room_in_all() - self._in_use.total())
        if not self._in_use[site]:
            del self._in_use[site]


def _way(site: Site) -> Hashable:
    """Return what two connections to a site must have in common to be as good as one another."""
    return site.guarded, site.signed, site.sts, site.route


def _for_all(envelope: Envelope, reply: Reply) -> Carried:
    return Carried({recipient.address: reply for recipient in envelope.recipients})
