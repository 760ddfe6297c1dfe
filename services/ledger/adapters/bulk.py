"""Statements for many rows at once, spelt so that SQLite and PostgreSQL both understand them.

A driver's ``executemany`` takes the interpreter's lock anew for every row, and a busy event
loop gives it away late; and SQLAlchemy sorts the parameters of each row. One statement with
all the values costs a third of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from sqlalchemy.ext.asyncio import AsyncConnection

MAX_PARAMETERS = 30_000
"""SQLite takes 32,766 in a statement, PostgreSQL 65,535, asyncpg 32,767."""

Row = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Bulk:
    """``before (?, ?), (?, ?) after``: a statement around a list of rows of ``width`` values."""

    before: str
    width: int
    after: str

    async def execute(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Execute the statement for ``rows``; nothing if there are none."""
        numbered = connection.dialect.name == "postgresql"
        at_once = MAX_PARAMETERS // self.width
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            statement = _spell(self, len(some), numbered=numbered)
            await connection.exec_driver_sql(statement, tuple(chain.from_iterable(some)))


@lru_cache(maxsize=512)
def _spell(bulk: Bulk, rows: int, *, numbered: bool) -> str:
    width = bulk.width
    marks = [f"${n}" if numbered else "?" for n in range(1, rows * width + 1)]
    values = (", ".join(marks[n : n + width]) for n in range(0, len(marks), width))
    return f"{bulk.before} ({'), ('.join(values)}) {bulk.after}"
