"""App passwords in SQL."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.core.directory import AppPassword, Purpose
from services.auth.ports import TakenError

MOST = 16
"""How many a user may have: every proof is tried against so many."""


class TooManyError(Exception):
    """The user has as many app passwords as one may have."""


async def every(db: AsyncConnection, login: str) -> tuple[AppPassword, ...]:
    """Return the app passwords of a user, by name."""
    query = select(t.app_passwords).join(t.users).where(t.users.c.login == login)
    return tuple(_of_row(row) for row in await db.execute(query.order_by(t.app_passwords.c.name)))


async def of_users(
    db: AsyncConnection, user_ids: Collection[int]
) -> Mapping[int, tuple[AppPassword, ...]]:
    """Return the app passwords of several users, by their ids."""
    query = select(t.app_passwords).where(t.app_passwords.c.user_id.in_(list(user_ids)))
    found: defaultdict[int, tuple[AppPassword, ...]] = defaultdict(tuple)
    for row in await db.execute(query.order_by(t.app_passwords.c.id)):
        found[row.user_id] += (_of_row(row),)
    return found


async def add(db: AsyncConnection, login: str, salt: str, made: AppPassword) -> None:
    """Add an app password that was made with ``salt``, which the user has from now on.

    Raises `TakenError` if there is one of that name or the user has another salt by now,
    and `TooManyError`.
    """
    query = select(t.users.c.id, t.users.c.salt).where(t.users.c.login == login)
    user = (await db.execute(query.with_for_update())).one()
    if user.salt not in ("", salt):
        raise TakenError(f"{login} has another salt by now")
    mine = t.app_passwords.c.user_id == user.id
    there = (await db.execute(select(func.count()).where(mine))).scalar_one()
    if there >= MOST:
        raise TooManyError(f"{login} has {there} app passwords")
    await db.execute(update(t.users).where(t.users.c.id == user.id).values(salt=salt))
    await db.execute(
        insert(t.app_passwords).values(
            user_id=user.id,
            name=made.name,
            purposes=sorted(made.purposes),
            digest=made.digest,
            sealed=made.sealed,
            created_at=made.created_at,
        )
    )


async def remove(db: AsyncConnection, login: str, name: str) -> bool:
    """Remove an app password; whether there was one."""
    mine = select(t.users.c.id).where(t.users.c.login == login).scalar_subquery()
    named = (t.app_passwords.c.user_id == mine) & (t.app_passwords.c.name == name)
    return (await db.execute(delete(t.app_passwords).where(named))).rowcount > 0


async def note_use(db: AsyncConnection, digest: str, now: datetime, every: timedelta) -> None:
    """Note that an app password was used ``now``, unless that was noted lately."""
    used = t.app_passwords.c.used_at
    stale = used.is_(None) | (used <= now - every)
    mine = (t.app_passwords.c.digest == digest) & stale
    await db.execute(update(t.app_passwords).where(mine).values(used_at=now))


def _of_row(row: Row[Any]) -> AppPassword:
    return AppPassword(
        row.name,
        frozenset(map(Purpose, row.purposes)),
        row.digest,
        row.created_at,
        sealed=row.sealed,
        used_at=row.used_at,
    )
