"""Greylist: who has been heard of before, in digests."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "greylist",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("first", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("greylist")
