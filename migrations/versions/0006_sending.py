"""Mail that leaves us: routes, and the keys that sign it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "routes",
        sa.Column("pattern", sa.String(256), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
    )
    op.create_table(
        "dkim_keys",
        sa.Column(
            "domain",
            sa.String(255),
            sa.ForeignKey("domains.name", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("selector", sa.String(64), primary_key=True),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("bits", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    active = sa.text("state = 'active'")
    op.create_index(
        "one_active_dkim_key",
        "dkim_keys",
        ["domain", "algorithm"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


def downgrade() -> None:
    op.drop_table("dkim_keys")
    op.drop_table("routes")
