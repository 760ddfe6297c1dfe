"""Failed logins in SQL, counted for all processes together."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.core.login import PATIENCE, Failures, Subject, Suspect, counted, is_locked

_COLUMNS = (
    t.failures.c.subject,
    t.failures.c.who,
    t.failures.c.count.label("times"),
    t.failures.c.last,
)
_WHO = tuple_(t.failures.c.subject, t.failures.c.who)
_IS_COUNTED = t.failures.c.count > 0


class LockedError(Exception):
    """Somebody is locked out: no further failure is counted."""


async def page(
    db: AsyncConnection, limit: int, after: Suspect | None = None, subject: Subject | None = None
) -> Sequence[tuple[Suspect, Failures]]:
    """Return up to ``limit`` of those who failed and come after ``after``."""
    query = select(*_COLUMNS).where(_IS_COUNTED)
    query = query.order_by(t.failures.c.subject, t.failures.c.who).limit(limit)
    if after is not None:
        query = query.where(tuple_(*map(str, after)) < _WHO)
    if subject is not None:
        query = query.where(t.failures.c.subject == subject)
    return [(_suspect_of(row), _failures_of(row)) for row in await db.execute(query)]


async def find(db: AsyncConnection, suspects: Collection[Suspect]) -> Mapping[Suspect, Failures]:
    """Return how often these failed; who never did is left out."""
    query = select(*_COLUMNS).where(_IS_COUNTED, _WHO.in_([(str(a), b) for a, b in suspects]))
    return {_suspect_of(row): _failures_of(row) for row in await db.execute(query)}


async def pairs_of(db: AsyncConnection, login: str) -> Sequence[Suspect]:
    """Return with which clients this login name failed."""
    theirs = t.failures.c.who.startswith(f"{login} ", autoescape=True)
    query = select(*_COLUMNS).where(t.failures.c.subject == Subject.PAIR, theirs)
    return [_suspect_of(row) for row in await db.execute(query)]


async def count(
    db: AsyncConnection, suspects: Collection[Suspect], now: datetime
) -> Mapping[Suspect, Failures]:
    """Count a failure of each; raise `LockedError` if one of them is locked out by now."""
    rows = [
        {"subject": subject, "who": who, "count": 0, "last": now}
        for subject, who in sorted(suspects, reverse=True)  # in one order, lest two wait crosswise
    ]
    dialect = sqlite if db.dialect.name == "sqlite" else postgresql
    for row in rows:
        await db.execute(dialect.insert(t.failures).values(row).on_conflict_do_nothing())
    query = select(*_COLUMNS).where(_WHO.in_([(row["subject"], row["who"]) for row in rows]))
    ordered = query.order_by(t.failures.c.subject.desc()).with_for_update()
    before = {_suspect_of(row): _failures_of(row) for row in await db.execute(ordered)}
    if any(is_locked(failures, PATIENCE[who[0]], now) for who, failures in before.items()):
        raise LockedError
    after = counted(before, now)
    for who, failures in after.items():
        changed = update(t.failures).where(_is(who))
        await db.execute(changed.values(count=failures.count, last=failures.last))
    return after


async def remove(db: AsyncConnection, suspect: Suspect) -> bool:
    """Forget what somebody got wrong; whether there was anything."""
    return (await db.execute(delete(t.failures).where(_is(suspect)))).rowcount > 0


async def prune(db: AsyncConnection, before: datetime) -> None:
    """Remove what was last counted ``before`` then, but nothing that is being counted now."""
    old = select(t.failures.c.subject, t.failures.c.who).where(t.failures.c.last < before)
    await db.execute(delete(t.failures).where(_WHO.in_(old.with_for_update(skip_locked=True))))


def _is(suspect: Suspect) -> ColumnElement[bool]:
    return (t.failures.c.subject == suspect[0]) & (t.failures.c.who == suspect[1])


def _suspect_of(row: Row[Any, *tuple[Any, ...]]) -> Suspect:
    return Subject(row.subject), row.who


def _failures_of(row: Row[Any, *tuple[Any, ...]]) -> Failures:
    return Failures(row.times, row.last)
