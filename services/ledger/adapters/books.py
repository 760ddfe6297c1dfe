"""The books in the database: mails, recipients and the timeline.

Traces come by the thousand, so what writes them is one statement for each table.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.envelope import BlobId, MailId, new_mail_id
from kernel.model.reply import Reply, printable
from services.ledger.adapters.bulk import Bulk, Row
from services.ledger.adapters.database import Database
from services.ledger.adapters.tables import (
    has_blob,
    is_open,
    mails,
    recipients,
    still_waits,
    timeline,
    to_micros,
    waiting,
)
from services.ledger.core.fate import ENDED, Step, weight
from services.ledger.core.record import Account, Records

_LOCK = 0x6C646772  # "ldgr": names our advisory lock among those of the database
_ONE_AT_A_TIME = sa.select(sa.func.pg_advisory_xact_lock(_LOCK))
_OPEN_ACCOUNT = Bulk(
    "INSERT INTO mails (id, sender, size, origin, submitter, blob, accepted_at) VALUES",
    7,
    "ON CONFLICT DO NOTHING",
)
_ADD_STEP = Bulk(
    "INSERT INTO timeline (mail, recipient, stage, cause, at, detail, reply) VALUES",
    7,
    "ON CONFLICT DO NOTHING",
)
_SET_FATE = Bulk(
    "INSERT INTO recipients (mail, recipient, stage, weight, at, detail, reply) VALUES",
    7,
    """
    ON CONFLICT (mail, recipient) DO UPDATE SET
        stage = excluded.stage, weight = excluded.weight, at = excluded.at,
        detail = excluded.detail, reply = excluded.reply
    WHERE excluded.weight > recipients.weight
        OR (excluded.weight = recipients.weight AND excluded.at < recipients.at)
    """,
)
_STILL_OPEN = f"""
    EXISTS (SELECT 1 FROM recipients r WHERE r.mail = mails.id AND r.weight < {ENDED})
"""  # noqa: S608 - a constant
_CLOSE = Bulk(
    f"""
    UPDATE mails SET ended_at = (SELECT max(at) FROM recipients r WHERE r.mail = mails.id)
    WHERE ended_at IS NULL AND NOT {_STILL_OPEN} AND id IN (
    """,  # noqa: S608 - a constant
    1,
    ")",
)
_REOPEN = Bulk(
    f"UPDATE mails SET ended_at = NULL WHERE ended_at IS NOT NULL AND {_STILL_OPEN} AND id IN (",  # noqa: S608 - a constant
    1,
    ")",
)


class SqlBooks:
    """Keeps the books of `services.ledger.ports.Books`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, records: Records) -> None:
        """Keep ``records`` in one transaction."""
        async with self._database.writing() as connection:
            await write(connection, records)

    async def idle_blobs(self, ended_before: datetime, limit: int) -> Mapping[MailId, BlobId]:
        """Return blobs of mails that ended before then, and of which nothing waits."""
        query = (
            sa.select(mails.c.id, mails.c.blob)
            .where(has_blob, mails.c.ended_at < to_micros(ended_before))
            .where(~sa.exists().where(recipients.c.mail == mails.c.id, is_open))
            .where(~sa.exists().where(waiting.c.mail == mails.c.id, still_waits))
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return {row.id: row.blob for row in await connection.execute(query)}

    async def blobs_deleted(self, gone: Collection[MailId]) -> None:
        """Remember that these mails have no blob any more."""
        async with self._database.writing() as connection:
            await connection.execute(mails.update().where(mails.c.id.in_(gone)).values(blob=""))

    async def blobs_needed(self, blobs: Collection[BlobId]) -> set[BlobId]:
        """Return those of ``blobs`` of whose mail something is known, but not its end."""
        ended = sa.select(mails.c.id).where(mails.c.id.in_(blobs), mails.c.ended_at.is_not(None))
        known = sa.union(
            sa.select(mails.c.id).where(mails.c.id.in_(blobs)),
            sa.select(recipients.c.mail).where(recipients.c.mail.in_(blobs)),
        )
        waits = sa.select(waiting.c.mail).where(waiting.c.mail.in_(blobs), still_waits)
        async with self._database.reading() as connection:
            over = set((await connection.execute(ended)).scalars())
            some = set((await connection.execute(known)).scalars())
            return some - over | set((await connection.execute(waits)).scalars())

    async def forget(self, ended_before: datetime, limit: int) -> int:
        """Drop what is known of mails that ended before then, oldest first.

        Their ids sort by age, so only mails that are old enough are looked at.
        """
        youngest = new_mail_id(ended_before, bytes)
        old = (
            sa.select(mails.c.id)
            .where(mails.c.id < youngest, mails.c.ended_at < to_micros(ended_before), ~has_blob)
            .order_by(mails.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            gone = list((await connection.execute(old)).scalars())
        if gone:
            async with self._database.writing() as connection:
                for column in (timeline.c.mail, recipients.c.mail, mails.c.id):
                    await connection.execute(column.table.delete().where(column.in_(gone)))
        return len(gone)


async def write(connection: AsyncConnection, records: Records) -> None:
    """Keep ``records`` in the caller's transaction.

    One at a time, whichever ledger writes: of two that end the last two recipients
    of a mail at once, neither would see that it has ended.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(_ONE_AT_A_TIME)
    await _OPEN_ACCOUNT.execute(connection, [_account(a) for a in records.accounts])
    await _ADD_STEP.execute(connection, [_step(s) for s in records.steps])
    await _SET_FATE.execute(connection, [_fate(s) for s in records.fates])
    await _CLOSE.execute(connection, [(mail,) for mail in records.closing])
    await _REOPEN.execute(connection, [(mail,) for mail in records.opening])


def _account(account: Account) -> Row:
    summary = account.summary
    return (
        account.mail,
        str(summary.sender or ""),
        summary.size,
        printable(summary.origin),
        printable(summary.submitter),
        summary.blob,
        to_micros(account.at),
    )


def _step(step: Step) -> Row:
    at, reply = to_micros(step.at), reply_text(step.reply)
    return (step.mail, step.recipient, step.stage.value, step.cause, at, step.detail, reply)


def _fate(step: Step) -> Row:
    at, reply = to_micros(step.at), reply_text(step.reply)
    heft = weight(step.stage, step.cause)
    return (step.mail, step.recipient, step.stage.value, heft, at, step.detail, reply)


def reply_text(reply: Reply | None) -> str:
    """Return ``reply`` on one line, fit to be shown; empty if there was none."""
    return "" if reply is None else printable(str(reply))
