"""The greylist in SQL, shared by all processes."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Select, case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import tables as t
from services.auth.core.greylist import COME_BACK_WITHIN, MEMORY, Digest, Trace

_ROW = t.greylist.c


async def find(db: AsyncConnection, digests: Collection[Digest]) -> Mapping[Digest, Trace]:
    """Return what is remembered of these; what was never heard of is left out."""
    rows = await db.execute(select(t.greylist).where(_ROW.digest.in_(digests)))
    return {row.digest: Trace(row.first, row.last, row.passed) for row in rows}


async def keep(db: AsyncConnection, traces: Mapping[Digest, Trace]) -> None:
    """Remember ``traces``, in one order, lest two wait crosswise.

    Of two processes that do so at the same time the later is right: a mail may count once less.
    """
    rows = [
        {"digest": digest, "first": trace.first, "last": trace.last, "passed": trace.passed}
        for digest, trace in sorted(traces.items())
    ]
    dialect = sqlite if db.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(t.greylist)
    changed = {name: adding.excluded[name] for name in ("first", "last", "passed")}
    if rows:
        either = adding.on_conflict_do_update(index_elements=["digest"], set_=changed)
        await db.execute(either, rows)


async def prune(db: AsyncConnection, now: datetime, most: int) -> None:
    """Forget what no longer counts; if there are more than ``most`` then, what never came back.

    What is being written now stays.
    """
    unheard = (_ROW.passed == 0) & (_ROW.first <= now - COME_BACK_WITHIN)
    await _remove(db, select(_ROW.digest).where(or_(unheard, _ROW.last <= now - MEMORY)))
    count = (await db.execute(select(func.count()).select_from(t.greylist))).scalar_one()
    if count > most:
        least = select(_ROW.digest).order_by(case((_ROW.passed == 0, 0), else_=1), _ROW.last)
        await _remove(db, least.limit(count - most))


async def _remove(db: AsyncConnection, digests: Select[tuple[Digest]]) -> None:
    unlocked = digests.with_for_update(skip_locked=True)
    await db.execute(delete(t.greylist).where(_ROW.digest.in_(unlocked)))
