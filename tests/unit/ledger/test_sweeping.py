"""Contents go when their mail has ended, and not before."""

from datetime import timedelta

import pytest

from kernel.bus.port import QueueState
from services.ledger.settings import Settings
from services.ledger.sweeping import Sweeper
from tests.support.fakes import RecordingBus, make_platform
from tests.support.mail import MAIL_ID, NOON
from tests.unit.ledger.fakes import MemoryBooks, MemoryRoom

OLD = NOON - timedelta(days=7)


class BusWithTraces(RecordingBus):
    async def queues(self):
        return (QueueState("MailTraced", 1, 0, 1),)


@pytest.fixture
def books():
    return MemoryBooks()


def sweeper(books, **changes):
    platform = make_platform(**changes)
    platform.blobs.blobs = {MAIL_ID: b"big", "orphan": b"big too"}
    return platform, Sweeper(platform, books, MemoryRoom(), Settings())


async def test_the_content_of_an_ended_mail_is_deleted(books):
    books.blobs = {MAIL_ID: MAIL_ID}
    books.needed = {"orphan"}
    platform, sweeping = sweeper(books)

    await sweeping.sweep()

    assert set(platform.blobs.blobs) == {"orphan"}
    assert books.blobs == {}


async def test_old_contents_that_no_mail_needs_are_deleted(books):
    books.needed = {MAIL_ID}
    platform, sweeping = sweeper(books)

    await sweeping.sweep_orphans(OLD)

    assert set(platform.blobs.blobs) == {MAIL_ID}


async def test_nothing_is_an_orphan_while_traces_are_on_the_bus(books):
    platform, sweeping = sweeper(books, bus=BusWithTraces())

    await sweeping.sweep_orphans(OLD)

    assert set(platform.blobs.blobs) == {MAIL_ID, "orphan"}
