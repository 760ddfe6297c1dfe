"""The ledger: mails, their recipients, the timeline, and the waiting room.

Moments are microseconds since 1970, UTC. A recipient is open below this weight.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IS_OPEN = "weight < 1000000000"


def upgrade() -> None:
    _mails()
    _recipients()
    _timeline()
    _waiting()


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("submitter", sa.Text, nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    _partial_index("mails_with_a_blob", "mails", "ended_at", "blob != ''")


def _recipients() -> None:
    op.create_table(
        "recipients",
        sa.Column("mail", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("weight", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    _partial_index("open_recipients", "recipients", "mail", IS_OPEN)


def _timeline() -> None:
    op.create_table(
        "timeline",
        sa.Column("mail", sa.Text, primary_key=True),
        sa.Column("recipient", sa.Text, primary_key=True),
        sa.Column("stage", sa.Text, primary_key=True),
        sa.Column("cause", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _waiting() -> None:
    op.create_table(
        "waiting",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("mail", sa.Text, nullable=False),
        sa.Column("hop", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipients", sa.JSON, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("unless", sa.Text, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("taker", sa.Text, nullable=False),
        sa.Column("taken_until", sa.BigInteger, nullable=False),
        sa.Column("takes", sa.Integer, nullable=False),
        sa.Column("released_at", sa.BigInteger),
        sa.Column("leg", sa.LargeBinary, nullable=False),
    )
    op.create_index("waiting_by_mail", "waiting", ["mail"])
    _partial_index("waiting_by_due", "waiting", "due", "released_at IS NULL")
    _partial_index("tombstones", "waiting", "released_at", "released_at IS NOT NULL")


def _partial_index(name: str, table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    for table in ("waiting", "timeline", "recipients", "mails"):
        op.drop_table(table)
