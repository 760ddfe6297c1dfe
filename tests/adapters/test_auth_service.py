"""Auth as a whole: its first start, its waiting, and what it does without a database."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing, suppress

import pytest

from kernel.http import Peer, PeerUnavailableError
from kernel.model.events import DirectoryChanged
from kernel.model.questions import (
    Listener,
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    Place,
    RelayAnswer,
    RelayQuestion,
    Whereabouts,
)
from migrations.upgrade import upgrade
from services.auth.adapters.policies import add_network
from services.auth.core.lan import parse_client
from services.auth.directory import MAX_AGE
from services.auth.main import open_desk, serve
from services.auth.ports import DirectoryUnavailableError
from services.auth.settings import Settings
from tests.support.auth import PASSWORD, TOKEN, first_start, served_auth
from tests.support.fakes import make_platform
from tests.support.mail import ANN, BOB, EVE
from tests.support.ports import free_port

DEADLINE = 10.0


@pytest.fixture
def url(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"


@asynccontextmanager
async def running(platform, settings):
    """Run auth's ``serve`` meanwhile."""
    platform.health.expect("auth")
    task = asyncio.create_task(serve(platform, settings))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition):
    """Return once ``condition`` holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - health has no event to wait for
            await asyncio.sleep(0.01)


async def test_it_waits_for_its_tables_and_says_so(url):
    platform = make_platform(settings={"database_url": url})
    port = free_port()
    settings = Settings(listen=f"127.0.0.1:{port}", admin_password="x")

    async with running(platform, settings):
        await until(lambda: "no such table" in platform.health.troubles()["auth"])
        await upgrade(url)
        await until(lambda: not platform.health.troubles())

        async with Peer(f"http://127.0.0.1:{port}", TOKEN) as peer:
            assert (await peer.get("/internal/listeners/mx", Listener)).name == "mx"


async def test_a_generated_password_is_printed_once_and_works(url, capsys):
    platform = make_platform(settings={"database_url": url})
    await upgrade(url)

    for _ in range(2):
        settings = Settings(listen=f"127.0.0.1:{free_port()}", admin_password=None)
        async with running(platform, settings):
            await until(lambda: not platform.health.troubles())

    printed = capsys.readouterr().out.splitlines()
    (line,) = (line for line in printed if "password" in line)
    assert line.startswith("Administrator 'admin' of ours.test, password: ")
    async with open_desk(platform) as desk:
        password = line.split()[-1]
        question = LoginQuestion("api", "", "127.0.0.1", "BASIC", "admin", password)
        assert (await desk.logins.attempt(question)).verdict is LoginVerdict.GRANTED


async def test_two_first_starts_at_once_make_one_server(url):
    platform = make_platform(settings={"database_url": url})
    await upgrade(url)

    async with open_desk(platform) as one, open_desk(platform) as other:
        await asyncio.gather(first_start(one, platform), first_start(other, platform))
        known = (await one.directory.policies()).domains
        assert set(known) == {"ours.test", platform.settings.hostname}


async def test_two_first_starts_on_postgresql_make_one_server(database_url):
    await test_two_first_starts_at_once_make_one_server(database_url)


async def test_changes_of_other_processes_are_heeded(url):
    platform = make_platform(settings={"database_url": url})
    await upgrade(url)
    port = free_port()
    settings = Settings(listen=f"127.0.0.1:{port}", admin_password=PASSWORD)

    async with running(platform, settings), served_auth(url) as other:
        await until(lambda: not platform.health.troubles() and platform.bus.listeners)
        async with Peer(f"http://127.0.0.1:{port}", TOKEN) as peer:
            ask = ("/internal/whereabouts", [ANN], list[Whereabouts])
            assert (await peer.ask(*ask))[0].place is Place.UNKNOWN

            await other.made("/v1/users", {"address": str(ANN), "password": "x"})
            await platform.bus.broadcast(DirectoryChanged("users", str(ANN)))

            assert (await peer.ask(*ask))[0].place is Place.MAILBOX


async def test_without_a_database_there_is_no_answer_rather_than_a_wrong_one(url, tmp_path):
    question = RelayQuestion("mx", "203.0.113.9", "client.test", EVE, BOB)
    login = LoginQuestion("smtp", "mx", "203.0.113.9", "PLAIN", "admin", "x")
    asked = [
        ("/internal/relay", [question], list[RelayAnswer]),
        ("/internal/whereabouts", [ANN], list[Whereabouts]),
        ("/internal/login", login, LoginAnswer),
    ]
    async with served_auth(url) as auth:
        await auth.peer.ask(*asked[0])
        with closing(sqlite3.connect(tmp_path / "postroom.db")) as database:
            for table in ("addresses", "domains", "users"):
                database.execute(f"ALTER TABLE {table} RENAME TO away_{table}")
        auth.desk.directory.drop(DirectoryChanged("users"))

        for path, body, kind in asked:
            with pytest.raises(PeerUnavailableError, match="503"):
                await auth.peer.ask(path, body, kind)
        assert (await auth.call("GET", "/v1/domains")).status == 503
        await auth.desk.directory.check()
        assert "no such table" in auth.desk.directory.trouble

        with closing(sqlite3.connect(tmp_path / "postroom.db")) as database:
            for table in ("addresses", "domains", "users"):
                database.execute(f"ALTER TABLE away_{table} RENAME TO {table}")
        assert (await auth.peer.ask(*asked[0]))[0].rule == "relay-denied"


async def test_a_database_server_out_of_reach_is_no_answer_either():
    nowhere = "postgresql+asyncpg://postgres@127.0.0.1:1/postroom"

    async with open_desk(make_platform(settings={"database_url": nowhere})) as desk:
        with pytest.raises(DirectoryUnavailableError):
            await desk.relaying.whereabouts([ANN])


async def test_nothing_in_memory_outlives_five_seconds():
    assert MAX_AGE <= 5


async def test_what_is_never_in_the_lan_cannot_be_put_there(tmp_path):
    platform = make_platform(settings={"database_url": f"sqlite+aiosqlite:///{tmp_path}/p.db"})
    await upgrade(platform.settings.database_url)
    async with open_desk(platform, Settings(lan_never=("172.18.0.1",))) as desk:
        await first_start(desk, platform)
        async with desk.database.writing() as db:
            await add_network(db, "172.16.0.0/12")

        lan = (await desk.directory.policies()).lan

    assert parse_client("172.18.0.7") in lan
    assert parse_client("172.18.0.1") not in lan
