"""The directory: domains, users, their addresses, networks, listeners, lists and grants."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("is_primary", sa.Boolean, nullable=False),
        sa.Column("own_users", sa.Boolean, nullable=False),
        sa.Column("undelivered", sa.String(16), nullable=False),
        sa.Column("undelivered_mailbox", sa.String(512)),
    )
    op.create_index(
        "one_primary_domain",
        "domains",
        ["is_primary"],
        unique=True,
        sqlite_where=sa.text("is_primary"),
        postgresql_where=sa.text("is_primary"),
    )
    _users_and_addresses()
    _policies()


def _users_and_addresses() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("login", sa.String(512), nullable=False, unique=True),
        sa.Column("address", sa.String(512), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("may_relay", sa.Boolean, nullable=False),
        sa.Column("administrator", sa.Boolean, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("send_as", sa.JSON, nullable=False),
    )
    op.create_table(
        "addresses",
        sa.Column("realm", sa.String(255), primary_key=True),
        sa.Column("local", sa.String(255), primary_key=True),
        sa.Column("address", sa.String(512), nullable=False, unique=True),
        sa.Column("domain", sa.String(255), sa.ForeignKey("domains.name"), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("targets", sa.JSON, nullable=False),
    )
    op.create_index("addresses_of_a_user", "addresses", ["user_id"])
    op.create_index("addresses_of_a_domain", "addresses", ["domain"])


def _policies() -> None:
    op.create_table("networks", sa.Column("cidr", sa.String(64), primary_key=True))
    op.create_table(
        "listeners",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
    )
    op.create_table(
        "lists",
        sa.Column("colour", sa.String(8), primary_key=True),
        sa.Column("subject", sa.String(16), primary_key=True),
        sa.Column("pattern", sa.String(512), primary_key=True),
    )
    op.create_table(
        "grants",
        sa.Column("client", sa.String(64), primary_key=True),
        sa.Column(
            "user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    for table in ("grants", "lists", "listeners", "networks", "addresses", "users", "domains"):
        op.drop_table(table)
