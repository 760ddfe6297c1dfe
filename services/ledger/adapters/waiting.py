"""The waiting room in the database.

Several ledgers may share it: a leg that is due is leased to one of them.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from kernel import wire
from kernel.model.events import MailDeferred, MailRouted, Remote, Stage
from services.ledger.adapters.books import reply_text, write
from services.ledger.adapters.database import Database
from services.ledger.adapters.tables import (
    from_micros,
    is_tombstone,
    still_waits,
    timeline,
    to_micros,
    waiting,
)
from services.ledger.core.record import Records
from services.ledger.core.release import WaitingLeg

BURIED_AT_ONCE = 1000
MADE_DUE_AT_ONCE = 5000

_log = structlog.get_logger("ledger")


@dataclass(frozen=True, slots=True)
class WaitingFilter:
    """Which waiting legs are meant; ``None`` asks for nothing. Reports have an empty sender."""

    domain: str | None = None
    sender: str | None = None
    mail: str | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Yield what holds for the rows of these legs."""
        yield still_waits
        if self.domain is not None:
            hops = [str(Remote(self.domain, forwarded)) for forwarded in (False, True)]
            yield waiting.c.hop.in_(hops)
        if self.sender is not None:
            yield waiting.c.sender == self.sender
        if self.mail is not None:
            yield waiting.c.mail == self.mail


class SqlWaitingRoom:
    """Keeps the waiting room of `services.ledger.ports.WaitingRoom`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = secrets.token_hex(8)
        self._taken = 0
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._put_normal = insert(waiting).on_conflict_do_nothing()
        self._put_doubtful = _putting_back(insert(waiting))

    async def put(self, deferrals: Sequence[MailDeferred], now: datetime) -> None:
        """Keep ``deferrals`` in one transaction."""
        rows = {d.id: _row(d, now) for d in sorted(deferrals, key=_by_proof)}
        normal = [row for row in rows.values() if not row["unless"]]
        doubtful = [row for row in rows.values() if row["unless"]]
        async with self._database.writing() as connection:
            if normal:
                await connection.execute(self._put_normal, normal)
            if doubtful:
                await connection.execute(self._put_doubtful, doubtful)

    async def take(self, now: datetime, lease: timedelta, limit: int) -> Sequence[WaitingLeg]:
        """Take out legs that are due and that nobody else has taken."""
        self._taken += 1
        micros = to_micros(now)
        due = (
            sa.select(waiting.c.id)
            .where(still_waits, waiting.c.due <= micros, waiting.c.taken_until <= micros)
            .order_by(waiting.c.due)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taking = (
            waiting.update()
            .where(waiting.c.id.in_(due))
            .values(
                taker=f"{self._name}/{self._taken}",
                taken_until=to_micros(now + lease),
                takes=waiting.c.takes + 1,
            )
            .returning(
                waiting.c.id,
                waiting.c.leg,
                waiting.c.since,
                waiting.c.unless,
                waiting.c.takes,
                waiting.c.taker,
            )
        )
        async with self._database.writing() as connection:
            rows = [*await connection.execute(taking)]
        return [leg for row in rows if (leg := _waiting_leg(row))]

    async def served(self, legs: Sequence[WaitingLeg]) -> Mapping[str, Collection[str]]:
        """Return, by id of the leg, the recipients who have a stage of its ``serving``."""
        serving = {w.id: frozenset(w.serving) for w in legs if w.serving}
        if not serving:
            return {}
        query = sa.select(timeline.c.cause, timeline.c.stage, timeline.c.recipient).where(
            timeline.c.mail.in_({w.leg.envelope.id for w in legs}), timeline.c.cause.in_(serving)
        )
        found: dict[str, set[str]] = {}
        async with self._database.reading() as connection:
            for cause, stage, recipient in await connection.execute(query):
                if stage in serving[cause]:
                    found.setdefault(cause, set()).add(recipient)
        return found

    async def release(self, legs: Sequence[WaitingLeg], records: Records, now: datetime) -> None:
        """Turn ``legs`` into tombstones, but for those put back meanwhile; keep ``records``."""
        rows = [{"released": to_micros(now), **_lease(w)} for w in legs]
        async with self._database.writing() as connection:
            await connection.execute(_RELEASE, rows)
            await write(connection, records)

    async def give_back(self, legs: Sequence[WaitingLeg]) -> None:
        """Let others take ``legs``; that they were taken once still counts."""
        async with self._database.writing() as connection:
            await connection.execute(_GIVE_BACK, [_lease(w) for w in legs])

    async def postpone(self, legs: Sequence[WaitingLeg], due: datetime) -> None:
        """Let others take ``legs`` once they are due, as if they had not been taken."""
        rows = [{"due": to_micros(due), **_lease(w)} for w in legs]
        async with self._database.writing() as connection:
            await connection.execute(_POSTPONE, rows)

    async def retry(self, leg: str, now: datetime) -> bool:
        """Make a leg due now; whether it waits."""
        query = waiting.update().where(waiting.c.id == leg, still_waits).values(due=to_micros(now))
        async with self._database.writing() as connection:
            return (await connection.execute(query)).rowcount > 0

    async def retry_all(self, wanted: WaitingFilter, now: datetime) -> int:
        """Make these legs due now, but for those that their senders hold; return how many.

        Some at a time: whoever else writes has to wait no longer than for these.
        """
        micros = to_micros(now)
        waits = (*wanted.conditions(), waiting.c.due > micros, ~waiting.c.held)
        later = sa.select(waiting.c.id).where(*waits)
        some = waiting.c.id.in_(later.order_by(waiting.c.due).limit(MADE_DUE_AT_ONCE))
        made_due = 0
        while True:
            async with self._database.writing() as connection:
                done = await connection.execute(waiting.update().where(some).values(due=micros))
            made_due += done.rowcount
            if done.rowcount < MADE_DUE_AT_ONCE:
                return made_due

    async def next_due(self) -> datetime | None:
        """Return when the next leg that nobody has taken is due."""
        query = sa.select(sa.func.min(waiting.c.due)).where(still_waits, waiting.c.taken_until == 0)
        async with self._database.reading() as connection:
            due = await connection.scalar(query)
        return None if due is None else from_micros(due)

    async def bury(self, released_before: datetime) -> int:
        """Drop tombstones, some at a time."""
        old = (
            sa.select(waiting.c.id)
            .where(is_tombstone, waiting.c.released_at < to_micros(released_before))
            .limit(BURIED_AT_ONCE)
        )
        async with self._database.writing() as connection:
            return (
                await connection.execute(waiting.delete().where(waiting.c.id.in_(old)))
            ).rowcount


_GIVE_BACK = sa.text("""
    UPDATE waiting SET taker = '', taken_until = 0 WHERE id = :id AND taker = :lease
""")
_POSTPONE = sa.text("""
    UPDATE waiting SET taker = '', taken_until = 0, takes = takes - 1, due = :due
    WHERE id = :id AND taker = :lease
""")
_RELEASE = sa.text("""
    UPDATE waiting SET taker = '', taken_until = 0, released_at = :released, leg = :nothing
    WHERE id = :id AND taker = :lease AND released_at IS NULL
""").bindparams(nothing=b"")


def _putting_back(insert: "sqlite.Insert | postgresql.Insert") -> sa.Insert:
    """Return an insert that puts a leg in doubt back, if it is known.

    A row that waits untouched was certainly not published since it came, so its own
    ``unless`` holds; only one that asks for ROUTED gives way, because an outcome
    proves more. One that is being released does not give way to ROUTED either: it may
    never get onto the bus, and was routed all the same.
    ``takes`` outlives it: what was taken may have been published.
    """
    new, old = insert.excluded, waiting.c
    stays = sa.and_(
        old.released_at.is_(None),
        old.unless != Stage.ROUTED,
        sa.or_(old.taker == "", new.unless == Stage.ROUTED),
    )
    return insert.on_conflict_do_update(
        index_elements=[old.id],
        set_={
            "unless": sa.case((stays, old.unless), else_=new.unless),
            "takes": sa.case((old.released_at.is_(None), old.takes), else_=0),
            "taker": "",
            "taken_until": 0,
            "released_at": None,
            **{name: new[name] for name in ("recipients", "why", "due", "since", "leg", "held")},
        },
    )


def _by_proof(deferred: MailDeferred) -> tuple[str, bool, tuple[Stage, ...]]:
    """Sort twins so that the last is the one to believe: an outcome proves more than a routing."""
    return deferred.id, deferred.unless != (Stage.ROUTED,), deferred.unless


def _row(deferred: MailDeferred, now: datetime) -> dict[str, object]:
    leg = deferred.leg
    return {
        "id": leg.id,
        "mail": leg.envelope.id,
        "hop": str(leg.hop),
        "attempt": leg.attempt,
        "sender": str(leg.envelope.sender or ""),
        "recipients": [str(recipient.address) for recipient in leg.envelope.recipients],
        "why": reply_text(deferred.why),
        "unless": " ".join(deferred.unless),
        "due": to_micros(deferred.due),
        "since": to_micros(now),
        "taker": "",
        "taken_until": 0,
        "takes": 0,
        "leg": wire.encode(leg),
        "held": leg.envelope.hold_until is not None and now < leg.envelope.hold_until,
    }


def _waiting_leg(row: sa.Row[Any]) -> WaitingLeg | None:
    """Return what waits; ``None``, and a line in the log, if this version cannot read it."""
    try:
        leg = cast("MailRouted", wire.decode(row.leg))
    except wire.UnreadableEventError as error:
        _log.error("unreadable leg", leg=row.id, why=str(error))
        return None
    stages = tuple(Stage(stage) for stage in row.unless.split())
    return WaitingLeg(leg, from_micros(row.since), stages, row.takes, row.taker)


def _lease(waiting_leg: WaitingLeg) -> dict[str, object]:
    return {"id": waiting_leg.id, "lease": waiting_leg.lease}
