"""What an administrator may look up in the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from kernel.model.envelope import MailId
from services.ledger.adapters.database import Database
from services.ledger.adapters.tables import (
    from_micros,
    is_open,
    mails,
    recipients,
    still_waits,
    timeline,
    to_micros,
    waiting,
)
from services.ledger.adapters.waiting import WaitingFilter
from services.ledger.core.fate import Balance
from services.ledger.views import Entry, Fate, Mail, Story, Waiting

SILENT = timedelta(minutes=15)
"""Of an open recipient who does not wait somebody should have spoken by then."""


@dataclass(frozen=True, slots=True)
class MailFilter:
    """Which mails to list. Empty fields ask for nothing; ``ended`` tells open from ended."""

    sender: str = ""
    recipient: str = ""
    ended: bool | None = None
    after: str = ""


class Reading:
    """Reads, and changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def story(self, mail: MailId) -> Story | None:
        """Return all that is known of ``mail``; ``None`` if nothing is."""
        summary = mails.select().where(mails.c.id == mail)
        fates = recipients.select().where(recipients.c.mail == mail)
        steps = timeline.select().where(timeline.c.mail == mail)
        async with self._database.reading() as connection:
            about = (await connection.execute(summary)).first()
            stands = [_fate(row) for row in await connection.execute(fates)]
            steps = steps.order_by(timeline.c.at, timeline.c.cause, timeline.c.recipient)
            entries = [_entry(row) for row in await connection.execute(steps)]
        if not entries:
            return None
        known = _mail(about) if about else Mail(id=mail, accepted_at=entries[0].at)
        return Story(**known.model_dump(), recipients=stands, timeline=entries)

    async def mails(self, wanted: MailFilter, limit: int) -> list[Mail]:
        """Return mails, newest first."""
        query = mails.select().order_by(mails.c.id.desc()).limit(limit)
        if wanted.after:
            query = query.where(mails.c.id < wanted.after)
        if wanted.sender:
            query = query.where(mails.c.sender == wanted.sender)
        if wanted.recipient:
            theirs = (recipients.c.mail == mails.c.id) & (
                recipients.c.recipient == wanted.recipient
            )
            query = query.where(sa.exists().where(theirs))
        if wanted.ended is not None:
            still_open = mails.c.id.in_(sa.select(recipients.c.mail).where(is_open))
            query = query.where(~still_open if wanted.ended else still_open)
        async with self._database.reading() as connection:
            return [_mail(row) for row in await connection.execute(query)]

    async def waiting(
        self, wanted: WaitingFilter, after: tuple[datetime, str] | None, limit: int
    ) -> list[Waiting]:
        """Return what waits, soonest first; ``after`` is due time and id of the last one seen."""
        shown = [column for column in waiting.c if column is not waiting.c.leg]
        query = sa.select(*shown).where(*wanted.conditions()).limit(limit)
        if after is not None:
            place = sa.tuple_(waiting.c.due, waiting.c.id)
            query = query.where(place > sa.tuple_(to_micros(after[0]), after[1]))
        query = query.order_by(waiting.c.due, waiting.c.id)
        async with self._database.reading() as connection:
            return [_waiting(row) for row in await connection.execute(query)]

    async def balance(self, now: datetime) -> Balance:
        """Return how many recipients there are, and where they stand."""
        async with self._database.reading() as connection:
            accepted = await connection.scalar(sa.select(sa.func.count()).select_from(recipients))
            still_open = await connection.scalar(_count(is_open))
            waits = await connection.scalar(_count(is_open, _mail_waits()))
            silent = await connection.scalar(_count(*_silent(now)))
        return Balance(accepted or 0, still_open or 0, waits or 0, silent or 0)

    async def gauges(self, now: datetime) -> tuple[int, int, int]:
        """Return how many recipients are open, legs wait, and recipients are silent."""
        legs = sa.select(sa.func.count()).select_from(waiting).where(still_waits)
        async with self._database.reading() as connection:
            counts = [
                await connection.scalar(query)
                for query in (_count(is_open), legs, _count(*_silent(now)))
            ]
        still_open, waits, silent = (count or 0 for count in counts)
        return still_open, waits, silent


def _count(*conditions: sa.ColumnElement[bool]) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(recipients).where(*conditions)


def _mail_waits() -> sa.ColumnElement[bool]:
    return sa.exists().where(waiting.c.mail == recipients.c.mail, still_waits)


def _silent(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (is_open, recipients.c.at < to_micros(now - SILENT), ~_mail_waits())


def _mail(row: sa.Row[Any]) -> Mail:
    return Mail(
        id=row.id,
        sender=row.sender,
        size=row.size,
        origin=row.origin,
        submitter=row.submitter,
        accepted_at=from_micros(row.accepted_at),
        ended_at=None if row.ended_at is None else from_micros(row.ended_at),
    )


def _fate(row: sa.Row[Any]) -> Fate:
    at, reply = from_micros(row.at), row.reply or None
    return Fate(recipient=row.recipient, stage=row.stage, detail=row.detail, reply=reply, at=at)


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(**_fate(row).model_dump(), cause=row.cause)


def _waiting(row: sa.Row[Any]) -> Waiting:
    return Waiting(
        id=row.id,
        mail=row.mail,
        hop=row.hop,
        attempt=row.attempt,
        due=from_micros(row.due),
        since=from_micros(row.since),
        sender=row.sender,
        recipients=row.recipients,
        why=row.why,
    )
