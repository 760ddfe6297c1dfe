"""The black list and the white list in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.core.lists import Colour, Subject


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands on a list: a subject, and a pattern of it in its canonical form."""

    colour: Colour
    subject: Subject
    pattern: str


async def page(
    db: AsyncConnection, colour: Colour, subject: Subject | None, limit: int, after: Sequence[str]
) -> Sequence[Entry]:
    """Return up to ``limit`` entries that come after ``after``, by subject and pattern."""
    place = tuple_(t.lists.c.subject, t.lists.c.pattern)
    query = select(t.lists).where(t.lists.c.colour == colour, place > tuple_(*after))
    if subject is not None:
        query = query.where(t.lists.c.subject == subject)
    found = query.order_by(t.lists.c.subject, t.lists.c.pattern).limit(limit)
    return [_entry_of(row) for row in await db.execute(found)]


async def has(db: AsyncConnection, entry: Entry) -> bool:
    """Whether ``entry`` stands on its list."""
    return (await db.execute(select(t.lists).where(_is(entry)))).first() is not None


async def add(db: AsyncConnection, entry: Entry) -> None:
    """Add ``entry``; `TakenError` if it is there."""
    values = {"colour": entry.colour, "subject": entry.subject, "pattern": entry.pattern}
    await db.execute(insert(t.lists).values(values))


async def remove(db: AsyncConnection, entry: Entry) -> None:
    """Take ``entry`` off its list."""
    await db.execute(delete(t.lists).where(_is(entry)))


def _is(entry: Entry) -> ColumnElement[bool]:
    return and_(
        t.lists.c.colour == entry.colour,
        t.lists.c.subject == entry.subject,
        t.lists.c.pattern == entry.pattern,
    )


def _entry_of(row: Row[tuple[str, str, str]]) -> Entry:
    return Entry(Colour(row.colour), Subject(row.subject), row.pattern)
