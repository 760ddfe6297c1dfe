"""The directory's records, read in SQL: what decisions are made from."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import msgspec
from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.clock import Clock
from kernel.model.address import Address, BadAddressError, parse_domain
from services.auth.adapters import app_passwords, audit
from services.auth.adapters import tables as t
from services.auth.adapters.database import Database
from services.auth.core.directory import AppPassword, Domain, Entry, Key, Undelivered, User
from services.auth.core.grants import Grant, Granting
from services.auth.core.lan import Networks
from services.auth.core.listener import ListenerSettings
from services.auth.core.lists import AddressList
from services.auth.core.policies import Policies

NO_GRANTING = Granting()


class SqlRecords:
    """Keeps the promises of `services.auth.ports.Records`.

    ``addresses`` are the IP addresses of this server. ``never_lan`` names networks that are
    not in the LAN, even if the records say so. ``return_key`` seals senders (SRS).
    """

    def __init__(
        self,
        database: Database,
        hostname: str,
        clock: Clock,
        *,
        addresses: Iterable[str] = (),
        never_lan: Iterable[str] = (),
        granting: Granting = NO_GRANTING,
        return_key: bytes = b"",
    ) -> None:
        self._database = database
        self._hostname = hostname
        self._clock = clock
        self._names = dict(_names(hostname, addresses))
        self._never_lan = tuple(f"!{network}" for network in never_lan)
        self._granting = granting
        self._lists: tuple[tuple[int, int], Mapping[str, AddressList]] | None = None
        self._return_key = return_key

    @property
    def names(self) -> Collection[str]:
        """The domains that mean us without being set up."""
        return self._names

    async def policies(self) -> Policies:
        """Return all server-wide settings."""
        async with self._database.reading() as db:
            domains = [domain_of(row) for row in await db.execute(select(t.domains))]
            networks = (await db.execute(select(t.networks.c.cidr))).scalars()
            listeners = await db.execute(select(t.listeners))
            lists = await self._read_lists(db)
            return Policies(
                hostname=self._hostname,
                domains=self._names | {domain.name: domain for domain in domains},
                lan=Networks.of((*networks, *self._never_lan)),
                listeners={row.name: settings_of(row) for row in listeners},
                black=lists["black"],
                white=lists["white"],
                granting=self._granting,
                return_key=self._return_key,
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

    async def grants(self, clients: Collection[str]) -> Mapping[str, tuple[Grant, ...]]:
        """Return the grants of these clients that have not ended."""
        columns = (t.grants.c.client, t.grants.c.until, t.users.c.login)
        query = select(*columns).join_from(t.grants, t.users)
        fresh = query.where(t.grants.c.until > self._clock())
        found: defaultdict[str, tuple[Grant, ...]] = defaultdict(tuple)
        async with self._database.reading() as db:
            for row in await db.execute(fresh.where(t.grants.c.client.in_(list(clients)))):
                found[row.client] += (Grant(row.login, row.until),)
        return found

    async def _read_lists(self, db: AsyncConnection) -> Mapping[str, AddressList]:
        """Return both lists. They may be long, so they are read only once they have changed."""
        count = await db.scalar(select(func.count()).select_from(t.lists)) or 0
        edition = (await audit.newest(db, ["lists"]), count)
        if self._lists is None or self._lists[0] != edition:
            rows = (await db.execute(select(t.lists))).all()
            self._lists = (edition, await asyncio.to_thread(_lists_of, rows))
        return self._lists[1]


def _names(hostname: str, addresses: Iterable[str]) -> Iterator[tuple[str, Domain]]:
    """Yield what means us without being set up: our name, and our address literals.

    Mail for them is local; relayed, it would come back (RFC 5321 §4.1.3).
    """
    tag = {4: "", 6: "IPv6:"}
    literals = (f"[{tag[ip_address(address).version]}{address}]" for address in addresses)
    for text in (hostname, *literals):
        with suppress(BadAddressError):  # a host may have a name that no domain may have
            name = parse_domain(text)
            yield name, Domain(name)


def _lists_of(rows: Iterable[Row[Any]]) -> Mapping[str, AddressList]:
    entries: dict[str, list[tuple[str, str]]] = {"black": [], "white": []}
    for row in rows:
        entries[row.colour].append((row.subject, row.pattern))
    return {colour: AddressList.of(pairs) for colour, pairs in entries.items()}


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
