"""Domains in SQL."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.adapters.records import domain_of
from services.auth.core.directory import Domain, Domains


async def page(db: AsyncConnection, limit: int, after: str, q: str = "") -> Sequence[Domain]:
    """Return up to ``limit`` domains with ``q`` in their names, which come after ``after``."""
    wanted = (t.domains.c.name > after) & t.domains.c.name.icontains(q, autoescape=True)
    query = select(t.domains).where(wanted).order_by(t.domains.c.name)
    return [domain_of(row) for row in await db.execute(query.limit(limit))]


async def every(db: AsyncConnection) -> Domains:
    """Return all domains by name."""
    return {row.name: domain_of(row) for row in await db.execute(select(t.domains))}


async def add(db: AsyncConnection, domain: Domain) -> None:
    """Add ``domain``; `TakenError` if there is one of that name, or a second primary one."""
    await db.execute(insert(t.domains).values(name=domain.name, **_settings(domain)))


async def change(db: AsyncConnection, domain: Domain) -> None:
    """Store the settings of ``domain``; its addresses move to its realm.

    `TakenError` if an address of that name stands there already.
    """
    await db.execute(
        update(t.domains).where(t.domains.c.name == domain.name).values(**_settings(domain))
    )
    mine = t.addresses.c.domain == domain.name
    await db.execute(update(t.addresses).where(mine).values(realm=domain.realm))


async def remove(db: AsyncConnection, name: str) -> None:
    """Remove a domain; `TakenError` while it has addresses."""
    await db.execute(delete(t.domains).where(t.domains.c.name == name))


def _settings(domain: Domain) -> dict[str, object]:
    mailbox = domain.undelivered_mailbox
    return {
        "is_primary": domain.primary,
        "own_users": domain.own_users,
        "undelivered": domain.undelivered.value,
        "undelivered_mailbox": str(mailbox) if mailbox else None,
    }
