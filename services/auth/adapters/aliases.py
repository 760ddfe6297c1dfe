"""Aliases in SQL: addresses that have no user, but targets."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, String, cast, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import Address
from services.auth.adapters import tables as t
from services.auth.adapters.users import add_address
from services.auth.core.directory import Domains, Key

_IS_ALIAS = t.addresses.c.user_id.is_(None)


@dataclass(frozen=True, slots=True)
class Alias:
    """An address that stands for others."""

    address: Address
    targets: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class AliasSearch:
    """Which aliases are wanted; what is empty does not matter."""

    q: str = ""
    domain: str = ""
    target: str = ""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what must hold of a row."""
        if self.q:
            yield t.addresses.c.address.icontains(self.q, autoescape=True)
        if self.domain:
            yield t.addresses.c.domain == self.domain.lower()
        if self.target:
            quoted = json.dumps(self.target)  # the column is a list in JSON
            yield cast(t.addresses.c.targets, String).icontains(quoted, autoescape=True)


async def page(db: AsyncConnection, search: AliasSearch, limit: int, after: str) -> Sequence[Alias]:
    """Return up to ``limit`` of the aliases wanted whose addresses come after ``after``."""
    query = select(t.addresses).where(_IS_ALIAS, t.addresses.c.address > after)
    query = query.where(*search.conditions())
    rows = await db.execute(query.order_by(t.addresses.c.address).limit(limit))
    return [_alias_of(row) for row in rows]


async def find(db: AsyncConnection, key: Key) -> Alias | None:
    """Return the alias that stands under ``key``."""
    row = (await db.execute(select(t.addresses).where(_at(key)))).first()
    return _alias_of(row) if row else None


async def add(db: AsyncConnection, alias: Alias, domains: Domains) -> None:
    """Add ``alias``; `TakenError` if its address is taken."""
    await add_address(db, alias.address, domains, targets=alias.targets)


async def change(db: AsyncConnection, key: Key, targets: Sequence[Address]) -> None:
    """Let the alias stand for ``targets`` from now on."""
    words = [str(target) for target in targets]
    await db.execute(update(t.addresses).where(_at(key)).values(targets=words))


async def remove(db: AsyncConnection, key: Key) -> None:
    """Remove the alias."""
    await db.execute(delete(t.addresses).where(_at(key)))


def _at(key: Key) -> ColumnElement[bool]:
    return _IS_ALIAS & (t.addresses.c.realm == key[0]) & (t.addresses.c.local == key[1])


def _alias_of(row: Row[Any]) -> Alias:
    return Alias(Address.parse(row.address), tuple(map(Address.parse, row.targets)))
