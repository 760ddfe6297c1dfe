"""Networks and listeners in SQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.adapters.records import settings_of
from services.auth.core.listener import ListenerSettings


async def networks(db: AsyncConnection, limit: int, after: str, q: str = "") -> Sequence[str]:
    """Return up to ``limit`` networks of the LAN with ``q`` in them, which come after ``after``."""
    cidr = t.networks.c.cidr
    query = select(cidr).where(cidr > after, cidr.icontains(q, autoescape=True))
    return (await db.execute(query.order_by(cidr).limit(limit))).scalars().all()


async def has_network(db: AsyncConnection, cidr: str) -> bool:
    """Whether a network is in the LAN."""
    query = select(t.networks.c.cidr).where(t.networks.c.cidr == cidr)
    return (await db.execute(query)).first() is not None


async def add_network(db: AsyncConnection, cidr: str) -> None:
    """Add a network to the LAN; `TakenError` if it is there."""
    await db.execute(insert(t.networks).values(cidr=cidr))


async def remove_network(db: AsyncConnection, cidr: str) -> None:
    """Take a network out of the LAN."""
    await db.execute(delete(t.networks).where(t.networks.c.cidr == cidr))


async def listeners(
    db: AsyncConnection, limit: int, after: str, q: str = ""
) -> Sequence[tuple[str, ListenerSettings]]:
    """Return up to ``limit`` listeners with ``q`` in their names, which come after ``after``."""
    wanted = (t.listeners.c.name > after) & t.listeners.c.name.icontains(q, autoescape=True)
    query = select(t.listeners).where(wanted).order_by(t.listeners.c.name)
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
