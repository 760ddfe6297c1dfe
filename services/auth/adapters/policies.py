"""Networks and listeners in SQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.adapters.records import settings_of
from services.auth.core.listener import ListenerSettings


async def networks(db: AsyncConnection, limit: int, after: str) -> Sequence[str]:
    """Return up to ``limit`` networks of the LAN that come after ``after``."""
    query = select(t.networks.c.cidr).where(t.networks.c.cidr > after)
    return (await db.execute(query.order_by(t.networks.c.cidr).limit(limit))).scalars().all()


async def add_network(db: AsyncConnection, cidr: str) -> None:
    """Add a network to the LAN; `TakenError` if it is there."""
    await db.execute(insert(t.networks).values(cidr=cidr))


async def remove_network(db: AsyncConnection, cidr: str) -> bool:
    """Take a network out of the LAN; whether it was there."""
    return (await db.execute(delete(t.networks).where(t.networks.c.cidr == cidr))).rowcount > 0


async def listeners(
    db: AsyncConnection, limit: int, after: str
) -> Sequence[tuple[str, ListenerSettings]]:
    """Return up to ``limit`` listeners whose names come after ``after``."""
    query = select(t.listeners).where(t.listeners.c.name > after).order_by(t.listeners.c.name)
    return [(row.name, settings_of(row)) for row in await db.execute(query.limit(limit))]


async def listener(db: AsyncConnection, name: str) -> ListenerSettings | None:
    """Return the settings of a listener."""
    row = (await db.execute(select(t.listeners).where(t.listeners.c.name == name))).first()
    return settings_of(row) if row else None


async def add_listener(db: AsyncConnection, name: str, settings: ListenerSettings) -> None:
    """Add a listener; `TakenError` if there is one of that name."""
    document = msgspec.to_builtins(settings)
    await db.execute(insert(t.listeners).values(name=name, settings=document))


async def change_listener(db: AsyncConnection, name: str, settings: ListenerSettings) -> None:
    """Store the settings of a listener."""
    document = msgspec.to_builtins(settings)
    await db.execute(
        update(t.listeners).where(t.listeners.c.name == name).values(settings=document)
    )
