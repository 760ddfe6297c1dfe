"""Listeners that offered all there was, PLAIN and LOGIN, offer most of what is new as well.

A list that somebody has chosen differently stays as it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OLD = ["PLAIN", "LOGIN"]
NEW = ["SCRAM-SHA-256", "CRAM-MD5", *OLD]

listeners = sa.table("listeners", sa.column("name", sa.String), sa.column("settings", sa.JSON))


def upgrade() -> None:
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(before: list[str], after: list[str]) -> None:
    db = op.get_bind()
    for name, settings in db.execute(sa.select(listeners)).all():
        if settings.get("mechanisms") == before:
            changed = {**settings, "mechanisms": after}
            db.execute(
                sa.update(listeners).where(listeners.c.name == name).values(settings=changed)
            )
