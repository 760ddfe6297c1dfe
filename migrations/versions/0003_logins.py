"""Logins: secrets for CRAM-MD5 and SCRAM, app passwords, failures, API keys; the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("quota", sa.BigInteger))
    for name, length in (("salt", 64), ("sealed", 1024)):
        column = sa.Column(name, sa.String(length), nullable=False, server_default="")
        op.add_column("users", column)
    _app_passwords()
    _failures()
    _api_keys()
    _audit()


def _app_passwords() -> None:
    op.create_table(
        "app_passwords",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("purposes", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("sealed", sa.String(1024), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("user_id", "name", name="app_passwords_of_a_user"),
    )


def _failures() -> None:
    op.create_table(
        "failures",
        sa.Column("subject", sa.String(8), primary_key=True),
        sa.Column("who", sa.String(512), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(512), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
    )
    op.create_index("audit_of_a_thing", "audit", ["kind", "key"])


def downgrade() -> None:
    for table in ("audit", "api_keys", "failures", "app_passwords"):
        op.drop_table(table)
    with op.batch_alter_table("users") as users:
        for name in ("sealed", "salt", "quota"):
            users.drop_column(name)
