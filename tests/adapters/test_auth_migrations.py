"""Upgrades: quick, safe to run twice at once, and they make the tables that auth reads."""

import asyncio
import logging
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from kernel.sasl import OFFERED
from migrations.__main__ import wait_for_database
from migrations.upgrade import upgrade
from services.auth.adapters import tables
from services.auth.adapters.records import settings_of


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database of every kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/new/postroom.db"
    return request.getfixturevalue("database_url")


async def look(url, question):
    """Run ``question`` with a connection in its plain form."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.run_sync(question)


async def test_the_tables_are_those_that_auth_reads(url):
    await upgrade(url)

    def differences(connection):
        mine = set(tables.metadata.tables)
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in mine,
            },
        )
        return compare_metadata(context, tables.metadata)

    assert await look(url, differences) == []


OLD = {"mechanisms": ["PLAIN", "LOGIN"], "plaintext_auth": True}
CHOSEN = {"mechanisms": ["PLAIN"]}


async def test_listeners_that_offered_every_mechanism_still_do(url):
    await upgrade(url)
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as db:
        for name, settings in (("mx", {"mechanisms": []}), ("old", OLD), ("chosen", CHOSEN)):
            await db.execute(insert(tables.listeners).values(name=name, settings=settings))
        for made_later in ("greylist", "dkim_keys", "routes"):
            await db.execute(text(f"DROP TABLE {made_later}"))
        await db.execute(text("ALTER TABLE waiting DROP COLUMN held"))
        await db.execute(text("UPDATE alembic_version SET version_num = '0003'"))

    await upgrade(url)

    rows = await look(url, lambda c: c.execute(select(tables.listeners)).all())
    offered = {row.name: settings_of(row).mechanisms for row in rows}
    assert offered == {"mx": (), "old": OFFERED, "chosen": ("PLAIN",)}


async def test_several_upgrades_at_once_do_it_once(url):
    await asyncio.gather(*(upgrade(url) for _ in range(4)))

    versions = await look(url, lambda c: c.execute(text("SELECT * FROM alembic_version")).all())
    assert len(versions) == 1


async def test_an_upgrade_takes_less_than_a_second(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"

    begin = time.perf_counter()
    await upgrade(url)
    await upgrade(url)

    assert time.perf_counter() - begin < 1


async def test_the_file_has_a_write_ahead_log(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"

    await upgrade(url)

    mode = await look(url, lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert mode == "wal"


async def test_logging_stays_as_it_was(tmp_path):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))

    await upgrade(f"sqlite+aiosqlite:///{tmp_path}/postroom.db")

    assert (root.level, list(root.handlers)) == before
    assert not logging.getLogger("sqlalchemy").disabled


async def test_the_job_waits_for_a_database_that_is_not_there_yet(database_url):
    nowhere = "postgresql+asyncpg://postgres@127.0.0.1:1/postroom"

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait_for_database(nowhere), 0.6)
    await asyncio.wait_for(wait_for_database(database_url), 10)
