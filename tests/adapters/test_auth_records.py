"""The records as SQL keeps them: lists, grants, and settings from before an upgrade."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from kernel.model.questions import RelayQuestion
from migrations.upgrade import upgrade
from services.auth.adapters import tables as t
from services.auth.core.directory import SHARED, Entry
from services.auth.core.grants import Grant
from services.auth.core.lan import parse_client
from services.auth.core.listener import DEFAULTS
from services.auth.main import open_desk
from services.auth.ports import TakenError
from tests.support.auth import first_start
from tests.support.fakes import make_platform
from tests.support.mail import ANN, BOB, EVE, NOON

CLIENT = "2001:db8::7"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database of every kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    return request.getfixturevalue("database_url")


@pytest.fixture
async def desk(url):
    platform = make_platform(settings={"database_url": url})
    await upgrade(url)
    async with open_desk(platform) as desk:
        await first_start(desk, platform)
        yield desk


async def test_a_grant_counts_until_it_ends(desk):
    async with desk.database.writing() as db:
        (admin,) = (await db.execute(select(t.users.c.id))).scalars()
        for client, until in ((CLIENT, NOON + timedelta(minutes=5)), ("192.0.2.1", NOON)):
            await db.execute(insert(t.grants).values(client=client, user_id=admin, until=until))

    grants = await desk.directory.grants([CLIENT, "192.0.2.1"])

    assert grants == {
        CLIENT: (Grant("admin", NOON + timedelta(minutes=5)),),
        "192.0.2.1": None,
    }


async def test_a_grant_opens_a_listener_that_counts_grants(desk):
    question = RelayQuestion("mx", CLIENT, "client.test", ANN, BOB)
    async with desk.database.writing() as db:
        (admin,) = (await db.execute(select(t.users.c.id))).scalars()
        until = NOON + timedelta(minutes=5)
        await db.execute(insert(t.grants).values(client=CLIENT, user_id=admin, until=until))
        await db.execute(update(t.users).values(send_as=["ann@ours.test"]))
        await db.execute(update(t.listeners).values(settings={"collection_grants": True}))

    (answer,) = await desk.relaying.answer([question])

    assert (answer.rule, answer.submitter) == ("collection-grant", "admin")


async def test_the_lists_are_read(desk):
    async with desk.database.writing() as db:
        for colour, subject, pattern in (
            ("black", "client", "2001:db8::/32"),
            ("white", "sender", "*@ours.test"),
        ):
            values = {"colour": colour, "subject": subject, "pattern": pattern}
            await db.execute(insert(t.lists).values(values))

    policies = await desk.directory.policies()

    assert parse_client(CLIENT) in policies.black.clients
    assert policies.white.senders.match(ANN)
    assert not policies.white.senders.match(EVE)


async def test_settings_from_before_an_upgrade_get_defaults(desk):
    async with desk.database.writing() as db:
        mine = t.listeners.c.name == "mx"
        old = {"max_recipients": 200, "no_longer_known": True}
        await db.execute(update(t.listeners).where(mine).values(settings=old))

    mx = (await desk.directory.policies()).listeners["mx"]

    assert (mx.max_recipients, mx.tls) == (200, DEFAULTS["mx"].tls)


async def test_many_entries_are_read_at_once(desk):
    keys = [(SHARED, f"user{n}") for n in range(500)] + [(SHARED, "admin"), ("own.test", "admin")]

    found = await desk.directory.entries(keys)

    assert {key: entry for key, entry in found.items() if entry} == {
        (SHARED, "admin"): Entry("admin", found[SHARED, "admin"].mailbox)
    }


async def test_what_fails_half_way_leaves_nothing(desk):
    async def add_two():
        async with desk.database.writing() as db:
            await db.execute(insert(t.networks).values(cidr="192.0.2.0/24"))
            await db.execute(insert(t.networks).values(cidr="127.0.0.0/8"))

    with pytest.raises(TakenError):
        await add_two()

    assert parse_client("192.0.2.1") not in (await desk.directory.policies()).lan
