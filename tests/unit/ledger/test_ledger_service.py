"""The ledger stores what the bus brings, and outlasts an outage of the database."""

import asyncio
from datetime import timedelta

import pytest

from kernel.model.events import MailDeferred, MailTraced, Stage, Trace
from services.ledger.service import Intake, Ledger
from tests.support.fakes import make_platform
from tests.support.mail import AN_HOUR_LATER, BOB, BUSY, MAIL_ID, NOON, make_leg
from tests.unit.ledger.fakes import MemoryBooks, MemoryRoom

TRACED = MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.ROUTED),))
LONG = timedelta(minutes=10)


@pytest.fixture
def platform():
    return make_platform()


def intake(platform, books, patience=LONG):
    ledger = Ledger(platform, books, MemoryRoom())
    return Intake(ledger.trace, platform.bus, patience)


async def test_what_came_together_is_entered_together(platform):
    books = MemoryBooks()
    traces = intake(platform, books)

    await traces.take([TRACED] * 100)

    assert len(books.recorded) == 1


async def test_an_event_is_done_once_it_is_stored(platform):
    books = MemoryBooks(outages=2)
    traces = intake(platform, books)

    await traces.take([TRACED])

    assert len(books.recorded) == 1
    assert traces.trouble() == ""
    assert platform.bus.published == []


async def test_an_outage_shows_and_holds_what_came(platform):
    books = MemoryBooks(outages=1000)
    traces = intake(platform, books)

    taking = asyncio.create_task(traces.take([TRACED]))
    async with asyncio.timeout(5):
        await books.asked.wait()
    await asyncio.sleep(0)

    assert not taking.done()
    assert traces.trouble() == "the disk is full"
    taking.cancel()


async def test_a_long_outage_puts_the_event_back_on_its_queue(platform):
    traces = intake(platform, MemoryBooks(outages=1000), patience=timedelta(0))

    await traces.take([TRACED])

    assert platform.bus.published == [TRACED]


async def test_a_fault_of_the_data_is_the_bus_s_to_judge(platform):
    async def refuse(events):
        raise ValueError("not text")

    traces = Intake(refuse, platform.bus, LONG)

    with pytest.raises(ValueError, match="not text"):
        await traces.take([TRACED])


async def test_what_is_deferred_waits(platform):
    room = MemoryRoom()
    deferred = MailDeferred(make_leg(BOB, attempt=2), AN_HOUR_LATER, BUSY)

    await Ledger(platform, MemoryBooks(), room).defer([deferred])

    assert room.kept == [deferred]
