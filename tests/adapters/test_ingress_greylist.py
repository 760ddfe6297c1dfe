"""Greylisting over sockets: a served ingress, and an auth that remembers."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError
from structlog.testing import capture_logs

from kernel.model.questions import GreylistAnswer
from services.ingress.settings import Settings
from tests.adapters.test_ingress_checks import MESSAGE, send
from tests.dialogs.house import open_house
from tests.support.auth import MovingClock, served_auth

DELAY = timedelta(minutes=5)
GREYLISTED = "451 4.7.1 Greylisted, try again later"


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
async def memory(tmp_path, clock):
    """An auth over a database."""
    async with served_auth(f"sqlite+aiosqlite:///{tmp_path}/postroom.db", clock=clock) as auth:
        yield auth


@asynccontextmanager
async def greylisting(tmp_path, memory, **settings):
    options = {"authenticate": False, "greylist": DELAY, **settings}
    async with open_house(tmp_path, **options) as house:

        async def ask(question):
            return await memory.peer.ask("/internal/greylist", question, GreylistAnswer)

        house.auth.greylist = ask
        house.auth.stranger = True
        yield house


def counted(outcome):
    labels = {"check": "greylist", "outcome": outcome}
    return REGISTRY.get_sample_value("postroom_ingress_checks_total", labels) or 0


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_a_stranger_has_to_try_again(tmp_path, memory, clock, size):
    message = MESSAGE + b"a line\r\n" * size
    before = counted("new")
    async with greylisting(tmp_path, memory) as house:
        with capture_logs() as log:
            assert await send(house, message) == GREYLISTED
        assert await send(house, message) == GREYLISTED
        assert house.accepted == []
        clock.advance(DELAY)

        assert (await send(house, message))[:3] == "250"
        assert (await send(house, message))[:3] == "250"

    assert [line["checks"] for line in log if line["event"] == "checked"] == [{"greylist": "new"}]
    assert counted("new") == before + 1


async def test_what_one_process_has_put_off_another_takes(tmp_path, memory, clock):
    async with greylisting(tmp_path, memory) as one:
        assert await send(one, MESSAGE) == GREYLISTED
    clock.advance(DELAY)

    async with greylisting(tmp_path, memory) as other:
        assert (await send(other, MESSAGE))[:3] == "250"


async def test_who_is_no_stranger_never_waits(tmp_path, memory):
    async with greylisting(tmp_path, memory) as house:
        house.auth.stranger = False

        assert (await send(house, MESSAGE))[:3] == "250"


async def test_nobody_waits_where_it_is_not_wanted(tmp_path, memory):
    async with greylisting(tmp_path, memory, greylist=timedelta(0)) as house:
        assert (await send(house, MESSAGE))[:3] == "250"


@pytest.mark.parametrize(("closed", "reply"), [([], "250"), (["greylist"], "451")])
async def test_while_nobody_remembers_mail_is_taken_or_not_as_set(tmp_path, memory, closed, reply):
    async with greylisting(tmp_path, memory, fail_closed=closed) as house:
        async with memory.desk.database.writing() as db:
            await db.exec_driver_sql("ALTER TABLE greylist RENAME TO away")

        async with asyncio.timeout(10):
            assert (await send(house, MESSAGE))[:3] == reply


def test_a_delay_that_hardly_anybody_waits_for_is_refused():
    with pytest.raises(ValidationError):
        Settings(greylist=timedelta(days=1))
