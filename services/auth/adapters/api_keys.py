"""API keys in SQL."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.core.keys import ApiKey


async def page(db: AsyncConnection, limit: int, after: str, q: str = "") -> Sequence[ApiKey]:
    """Return up to ``limit`` keys whose ids come after ``after``; ``q`` is part of the name."""
    query = select(t.api_keys).where(t.api_keys.c.id > after)
    if q:
        query = query.where(t.api_keys.c.name.icontains(q, autoescape=True))
    return [_key_of(row) for row in await db.execute(query.order_by(t.api_keys.c.id).limit(limit))]


async def find(db: AsyncConnection, ids: Collection[str]) -> Sequence[ApiKey]:
    """Return the keys of these ids."""
    query = select(t.api_keys).where(t.api_keys.c.id.in_(list(ids)))
    return [_key_of(row) for row in await db.execute(query)]


async def add(db: AsyncConnection, key: ApiKey) -> None:
    """Add ``key``; `TakenError` if there is one of that name."""
    await db.execute(
        insert(t.api_keys).values(
            id=key.id,
            name=key.name,
            digest=key.digest,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def remove(db: AsyncConnection, key_id: str) -> None:
    """Remove a key."""
    await db.execute(delete(t.api_keys).where(t.api_keys.c.id == key_id))


def _key_of(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.id, row.name, frozenset(row.scopes), row.created_at, row.expires_at, row.digest
    )
