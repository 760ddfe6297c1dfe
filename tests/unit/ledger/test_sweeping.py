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


class BusWith(RecordingBus):
    def __init__(self, *queues):
        super().__init__()
        self._queues = queues

    async def queues(self):
        return self._queues


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


@pytest.mark.parametrize("queue", ["MailAccepted", "MailTraced", "parked"])
async def test_nothing_is_an_orphan_while_the_bus_may_hold_word_of_it(books, queue):
    platform, sweeping = sweeper(books, bus=BusWith(QueueState(queue, 1, 0, 1)))

    await sweeping.sweep_orphans(OLD)

    assert set(platform.blobs.blobs) == {MAIL_ID, "orphan"}


async def test_what_is_routed_already_keeps_no_orphan(books):
    bus = BusWith(QueueState("MailRouted.remote", 1, 0, 1), QueueState("parked", 0, 0, 0))
    platform, sweeping = sweeper(books, bus=bus)

    await sweeping.sweep_orphans(OLD)

    assert platform.blobs.blobs == {}
