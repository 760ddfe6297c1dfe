"""The audit log in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t


@dataclass(frozen=True, slots=True)
class Search:
    """Which entries are wanted; what is empty does not matter."""

    kind: str = ""
    key: str = ""
    who: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def write(db: AsyncConnection, **entry: object) -> None:
    """Add an entry."""
    await db.execute(insert(t.audit).values(**entry))


async def newest(db: AsyncConnection, kinds: Collection[str]) -> int:
    """Return the id of the last entry about things of ``kinds``.

    It stands for all that they are: an entry is written along with every change, and one change
    comes after the other.
    """
    query = select(func.max(t.audit.c.id)).where(t.audit.c.kind.in_(kinds))
    return (await db.scalar(query)) or 0


async def page(
    db: AsyncConnection, search: Search, limit: int, before: int | None
) -> Sequence[Row[Any]]:
    """Return up to ``limit`` entries older than the entry ``before``, newest first."""
    query = select(t.audit).order_by(t.audit.c.id.desc()).limit(limit)
    for column in (t.audit.c.kind, t.audit.c.key, t.audit.c.who):
        if wanted := getattr(search, column.name):
            query = query.where(column == wanted)
    if search.since is not None:
        query = query.where(t.audit.c.at >= search.since)
    if search.until is not None:
        query = query.where(t.audit.c.at < search.until)
    if before is not None:
        query = query.where(t.audit.c.id < before)
    return (await db.execute(query)).all()
