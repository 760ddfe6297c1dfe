"""Waiting mail whose sender wants it held is told from mail that has to wait."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("waiting", column)


def downgrade() -> None:
    with op.batch_alter_table("waiting") as waiting:
        waiting.drop_column("held")
