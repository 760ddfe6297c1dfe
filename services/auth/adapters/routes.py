"""Routes in SQL, and their passwords."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.sending import Route
from services.auth.adapters import tables as t
from services.auth.adapters.sealing import Seal
from services.auth.core.routes import StoredRoute

_THING = "route"
_ELSEWHERE = frozenset({"pattern", "password"})
"""What of a route does not stand in its document."""


async def page(db: AsyncConnection, limit: int, after: str, q: str = "") -> Sequence[StoredRoute]:
    """Return up to ``limit`` routes in order, with ``q`` in their patterns, behind ``after``."""
    routes = t.routes.c
    query = select(t.routes).where(routes.pattern.icontains(q, autoescape=True))
    if after:
        place = select(routes.position).where(routes.pattern == after).scalar_subquery()
        query = query.where(routes.position > place)
    return [
        _route_of(row) for row in await db.execute(query.order_by(routes.position).limit(limit))
    ]


async def every(db: AsyncConnection) -> Sequence[StoredRoute]:
    """Return all routes in order."""
    query = select(t.routes).order_by(t.routes.c.position)
    return [_route_of(row) for row in await db.execute(query)]


async def order(db: AsyncConnection) -> Sequence[str]:
    """Return the patterns of all routes in order."""
    query = select(t.routes.c.pattern).order_by(t.routes.c.position)
    return (await db.execute(query)).scalars().all()


async def find(db: AsyncConnection, pattern: str) -> StoredRoute | None:
    """Return the route for ``pattern``."""
    row = (await db.execute(select(t.routes).where(t.routes.c.pattern == pattern))).first()
    return _route_of(row) if row else None


async def add(db: AsyncConnection, stored: StoredRoute) -> None:
    """Add a route, which has no place yet: `arrange` must follow."""
    values = {"pattern": stored.pattern, "position": -1, **_columns(stored)}
    await db.execute(insert(t.routes).values(**values))


async def change(db: AsyncConnection, stored: StoredRoute) -> None:
    """Store the settings of a route."""
    mine = t.routes.c.pattern == stored.pattern
    await db.execute(update(t.routes).where(mine).values(**_columns(stored)))


async def arrange(db: AsyncConnection, patterns: Sequence[str]) -> None:
    """Give all routes the places that they have in ``patterns``."""
    now = (await db.execute(select(t.routes.c.pattern, t.routes.c.position))).all()
    places = {pattern: place for place, pattern in enumerate(patterns)}
    moved = [
        {"moved": row.pattern, "place": places[row.pattern]}
        for row in now
        if places[row.pattern] != row.position
    ]
    if moved:
        mine = t.routes.c.pattern == bindparam("moved")
        await db.execute(update(t.routes).where(mine).values(position=bindparam("place")), moved)


async def remove(db: AsyncConnection, pattern: str) -> None:
    """Remove a route."""
    await db.execute(delete(t.routes).where(t.routes.c.pattern == pattern))


def sealed_password(seal: Seal, pattern: str, password: str) -> str:
    """Return the password of the route for ``pattern``, sealed."""
    return seal.close_text(password, _THING, pattern)


def opened_password(seal: Seal | None, stored: StoredRoute) -> str | None:
    """Return the password of a route; ``None`` if it cannot be opened."""
    return seal.open_text(stored.sealed, _THING, stored.pattern) if seal else None


def _columns(stored: StoredRoute) -> dict[str, object]:
    document = msgspec.to_builtins(stored.route)
    kept = {name: value for name, value in document.items() if name not in _ELSEWHERE}
    return {"settings": kept, "sealed": stored.sealed}


def _route_of(row: Row[Any]) -> StoredRoute:
    return StoredRoute(msgspec.convert({**row.settings, "pattern": row.pattern}, Route), row.sealed)
