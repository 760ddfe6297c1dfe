"""DKIM keys in SQL, and their private halves."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.adapters.sealing import Seal
from services.auth.core.dkim import Algorithm, DkimKey, KeyState

_THING = "dkim-key"


async def page(db: AsyncConnection, domain: str, limit: int, after: str) -> Sequence[DkimKey]:
    """Return up to ``limit`` keys of ``domain`` whose selectors come after ``after``."""
    keys = t.dkim_keys.c
    query = select(t.dkim_keys).where(keys.domain == domain, keys.selector > after)
    return [_key_of(row) for row in await db.execute(query.order_by(keys.selector).limit(limit))]


async def of_domain(db: AsyncConnection, domain: str) -> Sequence[DkimKey]:
    """Return all keys of ``domain``."""
    query = select(t.dkim_keys).where(t.dkim_keys.c.domain == domain)
    return [_key_of(row) for row in await db.execute(query.order_by(t.dkim_keys.c.selector))]


async def active(db: AsyncConnection) -> Sequence[DkimKey]:
    """Return the keys that sign, of all domains."""
    keys = t.dkim_keys.c
    query = select(t.dkim_keys).where(keys.state == KeyState.ACTIVE)
    return [_key_of(row) for row in await db.execute(query.order_by(keys.domain, keys.selector))]


async def add(db: AsyncConnection, key: DkimKey) -> None:
    """Add ``key``."""
    await db.execute(
        insert(t.dkim_keys).values(
            domain=key.domain,
            selector=key.selector,
            algorithm=key.algorithm.value,
            bits=key.bits,
            state=key.state.value,
            public=key.public,
            sealed=key.sealed,
            created_at=key.created_at,
        )
    )


async def put(db: AsyncConnection, key: DkimKey) -> None:
    """Store the state of ``key``."""
    await db.execute(update(t.dkim_keys).where(*_is(key)).values(state=key.state.value))


async def remove(db: AsyncConnection, key: DkimKey) -> None:
    """Remove ``key``."""
    await db.execute(delete(t.dkim_keys).where(*_is(key)))


def sealed_private(seal: Seal, domain: str, selector: str, pem: str) -> str:
    """Return the private half of a key, sealed."""
    return seal.close_text(pem, _THING, domain, selector)


def opened_private(seal: Seal | None, key: DkimKey) -> str | None:
    """Return the private half of ``key`` in PEM; ``None`` if it cannot be opened."""
    return seal.open_text(key.sealed, _THING, key.domain, key.selector) if seal else None


def _is(key: DkimKey) -> tuple[Any, ...]:
    return t.dkim_keys.c.domain == key.domain, t.dkim_keys.c.selector == key.selector


def _key_of(row: Row[Any]) -> DkimKey:
    return DkimKey(
        row.domain,
        row.selector,
        Algorithm(row.algorithm),
        row.bits,
        KeyState(row.state),
        row.public,
        row.created_at,
        row.sealed,
    )
