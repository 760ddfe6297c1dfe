"""The directory's records, read in SQL: what decisions are made from."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.clock import Clock
from kernel.model.address import Address
from services.auth.adapters import app_passwords
from services.auth.adapters import tables as t
from services.auth.adapters.database import Database
from services.auth.core.directory import AppPassword, Domain, Entry, Key, Undelivered, User
from services.auth.core.lan import Client, Networks, parse_client
from services.auth.core.listener import ListenerSettings
from services.auth.core.policies import AddressList, Grant, Policies


class SqlRecords:
    """Keeps the promises of `services.auth.ports.Records`.

    ``never_lan`` names networks that are not in the LAN, even if the records say so.
    """

    def __init__(
        self, database: Database, hostname: str, clock: Clock, never_lan: Iterable[str] = ()
    ) -> None:
        self._database = database
        self._hostname = hostname
        self._clock = clock
        self._never_lan = tuple(f"!{network}" for network in never_lan)

    async def policies(self) -> Policies:
        """Return all server-wide settings."""
        async with self._database.reading() as db:
            domains = [domain_of(row) for row in await db.execute(select(t.domains))]
            networks = (await db.execute(select(t.networks.c.cidr))).scalars()
            listeners = await db.execute(select(t.listeners))
            lists = await self._lists(db)
            grants = await self._grants(db)
            return Policies(
                hostname=self._hostname,
                domains={domain.name: domain for domain in domains},
                lan=Networks.of((*networks, *self._never_lan)),
                listeners={row.name: settings_of(row) for row in listeners},
                black=lists["black"],
                white=lists["white"],
                grants=grants,
            )

    async def entries(self, keys: Collection[Key]) -> Mapping[Key, Entry]:
        """Return the entries that stand under ``keys``."""
        place = t.addresses.outerjoin(t.users)
        columns = (t.addresses, t.users.c.login, t.users.c.address.label("mailbox"))
        query = select(*columns).select_from(place)
        wanted = query.where(tuple_(t.addresses.c.realm, t.addresses.c.local).in_(list(keys)))
        async with self._database.reading() as db:
            return {(row.realm, row.local): _entry_of(row) for row in await db.execute(wanted)}

    async def users(self, logins: Collection[str]) -> Mapping[str, User]:
        """Return the users of these login names."""
        query = select(t.users).where(t.users.c.login.in_(list(logins)))
        async with self._database.reading() as db:
            rows = (await db.execute(query)).all()
            theirs = await app_passwords.of_users(db, [row.id for row in rows])
            return {row.login: user_of(row, theirs.get(row.id, ())) for row in rows}

    async def _lists(self, db: AsyncConnection) -> Mapping[str, AddressList]:
        entries: dict[str, list[tuple[str, str]]] = {"black": [], "white": []}
        for row in await db.execute(select(t.lists)):
            entries[row.colour].append((row.subject, row.pattern))
        return {colour: AddressList.of(pairs) for colour, pairs in entries.items()}

    async def _grants(self, db: AsyncConnection) -> Mapping[Client | None, tuple[Grant, ...]]:
        query = select(t.grants.c.client, t.grants.c.until, t.users.c.login).join(t.users)
        fresh = query.where(t.grants.c.until > self._clock()).order_by(t.grants.c.until.desc())
        grants: defaultdict[Client | None, tuple[Grant, ...]] = defaultdict(tuple)
        for row in await db.execute(fresh):
            grants[parse_client(row.client)] += (Grant(row.login, row.until),)
        return dict(grants)


def domain_of(row: Row[Any]) -> Domain:
    """Return the domain in a row of `tables.domains`."""
    mailbox = row.undelivered_mailbox
    return Domain(
        row.name,
        primary=row.is_primary,
        own_users=row.own_users,
        undelivered=Undelivered(row.undelivered),
        undelivered_mailbox=Address.parse(mailbox) if mailbox else None,
    )


def user_of(row: Row[Any], apps: tuple[AppPassword, ...] = ()) -> User:
    """Return the user in a row of `tables.users`."""
    return User(
        row.login,
        Address.parse(row.address),
        password=row.password,
        may_relay=row.may_relay,
        administrator=row.administrator,
        disabled=row.disabled,
        send_as=tuple(row.send_as),
        quota=row.quota,
        salt=row.salt,
        sealed=row.sealed,
        app_passwords=apps,
    )


def settings_of(row: Row[Any]) -> ListenerSettings:
    """Return the settings in a row of `tables.listeners`; newer ones get their defaults."""
    return msgspec.convert(_renewed(row.settings), ListenerSettings)


def _renewed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` in today's words."""
    plaintext = settings.get("plaintext_auth")
    if not isinstance(plaintext, bool):
        return settings
    return {**settings, "plaintext_auth": "always" if plaintext else "never"}


def _entry_of(row: Row[Any]) -> Entry:
    if row.mailbox is not None:
        return Entry(row.login, Address.parse(row.mailbox))
    return Entry(targets=tuple(map(Address.parse, row.targets)))
