"""Upgrade: brings a database to the newest revision, in the caller's event loop.

Safe to run from several processes at once: the whole upgrade is one transaction
that starts with a lock, so the late one finds its work done.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

LOCK = 0x706F7374  # "post": names our advisory lock among those of the database
LOCK_PATIENCE = 60.0  # seconds; how long an upgrade by somebody else may take


async def upgrade(url: str) -> None:
    """Bring the database that ``url`` names to the newest revision; makes an SQLite file."""
    if make_url(url).get_backend_name() == "sqlite":
        await _upgrade_sqlite(url)
    else:
        await _upgrade_postgresql(url)


async def _upgrade_sqlite(url: str) -> None:
    await asyncio.to_thread(_make_file, make_url(url).database or "")
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": LOCK_PATIENCE})
    event.listen(engine.sync_engine, "connect", _leave_transactions_to_us)
    event.listen(engine.sync_engine, "begin", _begin_immediately)
    async with engine.begin() as connection:
        await connection.run_sync(_run_revisions)


async def _upgrade_postgresql(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        await connection.run_sync(_run_revisions)


def _make_file(path: str) -> None:
    """Make the file, with a write-ahead log, which it then remembers.

    Switching needs the file for itself, and SQLite does not wait for that: so we do.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_PATIENCE
    with closing(sqlite3.connect(path, timeout=LOCK_PATIENCE)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _leave_transactions_to_us(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Keep the driver from beginning transactions by itself: it would leave DDL out of them."""
    connection.isolation_level = None


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _run_revisions(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
