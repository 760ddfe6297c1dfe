"""Grants in SQL. Those that have ended are removed in passing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, insert, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant, and to which client it was given."""

    client: str
    login: str
    until: datetime


@dataclass(frozen=True, slots=True)
class GrantSearch:
    """Which grants are wanted; what is empty does not matter."""

    client: str = ""
    login: str = ""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what must hold of a row."""
        if self.client:
            yield t.grants.c.client == self.client
        if self.login:
            yield t.users.c.login == self.login


async def give(db: AsyncConnection, grant: HeldGrant, now: datetime) -> bool:
    """Give or renew ``grant``; whether its user is there, and not disabled.

    `TakenError` says that somebody else gave it in the same moment.
    """
    user = select(t.users.c.id).where(t.users.c.login == grant.login, t.users.c.disabled.is_(False))
    same = and_(t.grants.c.client == grant.client, t.grants.c.user_id.in_(user))
    await db.execute(delete(t.grants).where(or_(same, t.grants.c.until <= now)))
    row = user.add_columns(literal(grant.client), literal(grant.until, t.Moment))
    given = await db.execute(insert(t.grants).from_select(["user_id", "client", "until"], row))
    return given.rowcount > 0


async def page(
    db: AsyncConnection,
    search: GrantSearch,
    now: datetime,
    limit: int | None = None,
    after: Sequence[str] = ("", ""),
) -> Sequence[HeldGrant]:
    """Return up to ``limit`` fresh grants that come after ``after``, by client and login."""
    place = (t.grants.c.client, t.users.c.login)
    query = select(*place, t.grants.c.until).join_from(t.grants, t.users).order_by(*place)
    wanted = query.where(t.grants.c.until > now, tuple_(*place) > tuple_(*after))
    rows = await db.execute(wanted.where(*search.conditions()).limit(limit))
    return [HeldGrant(row.client, row.login, row.until) for row in rows]


async def revoke(db: AsyncConnection, grants: Sequence[HeldGrant]) -> None:
    """Remove ``grants``, which are all of one client."""
    users = select(t.users.c.id).where(t.users.c.login.in_([grant.login for grant in grants]))
    clients = [grant.client for grant in grants]
    await db.execute(
        delete(t.grants).where(t.grants.c.client.in_(clients), t.grants.c.user_id.in_(users))
    )
