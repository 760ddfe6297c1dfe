"""The ledger's tables. Moments are microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from services.ledger.core.fate import ENDED

metadata = sa.MetaData()

mails = sa.Table(
    "mails",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("submitter", sa.Text, nullable=False),
    sa.Column("blob", sa.Text, nullable=False),  # emptied once the blob is deleted
    sa.Column("accepted_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sqlite_with_rowid=False,
)
# Conditions of partial indexes hold no parameters: a query must show the same words to use them.
has_blob = mails.c.blob != sa.literal_column("''")
sa.Index("mails_with_a_blob", mails.c.ended_at, sqlite_where=has_blob, postgresql_where=has_blob)

recipients = sa.Table(
    "recipients",
    metadata,
    sa.Column("mail", sa.Text, primary_key=True),
    sa.Column("recipient", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("weight", sa.BigInteger, nullable=False),  # core.fate.weight
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
is_open = recipients.c.weight < sa.literal_column(str(ENDED))
sa.Index("open_recipients", recipients.c.mail, sqlite_where=is_open, postgresql_where=is_open)

timeline = sa.Table(
    "timeline",
    metadata,
    sa.Column("mail", sa.Text, primary_key=True),
    sa.Column("recipient", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

waiting = sa.Table(
    "waiting",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("mail", sa.Text, nullable=False),
    sa.Column("hop", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("recipients", sa.JSON, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("unless", sa.Text, nullable=False),  # stages, parted by spaces
    sa.Column("due", sa.BigInteger, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("taker", sa.Text, nullable=False),  # the ledger that is releasing it, or empty
    sa.Column("taken_until", sa.BigInteger, nullable=False),
    sa.Column("takes", sa.Integer, nullable=False),
    sa.Column("released_at", sa.BigInteger),  # a tombstone: by it twins are recognised
    sa.Column("leg", sa.LargeBinary, nullable=False),  # encoded by kernel.wire
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()),  # RFC 4865
)
still_waits = waiting.c.released_at.is_(None)
is_tombstone = waiting.c.released_at.is_not(None)
sa.Index("waiting_by_due", waiting.c.due, sqlite_where=still_waits, postgresql_where=still_waits)
sa.Index("waiting_by_mail", waiting.c.mail)
sa.Index(
    "tombstones", waiting.c.released_at, sqlite_where=is_tombstone, postgresql_where=is_tombstone
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return ``moment`` as the tables have it."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment that a table has as ``micros``."""
    return _EPOCH + micros * _MICROSECOND
