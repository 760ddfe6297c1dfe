import asyncio

import pytest

from kernel.model.events import MailDeferred
from services.delivery.memory import Memory
from tests.support.mail import BOB, BUSY, CAT, NOON, make_leg


class Work:
    def __init__(self):
        self.done = 0
        self.may_end = asyncio.Event()
        self.failure = None

    async def __call__(self):
        await self.may_end.wait()
        if self.failure:
            raise self.failure
        self.done += 1


async def test_a_settled_leg_is_not_worked_on_again():
    memory, work = Memory(), Work()
    work.may_end.set()
    memory.settle(make_leg(BOB))

    await memory.once(make_leg(BOB), work)

    assert work.done == 0


async def test_a_leg_that_was_not_settled_is():
    memory, work = Memory(), Work()
    work.may_end.set()

    await memory.once(make_leg(BOB), work)
    await memory.once(make_leg(BOB), work)

    assert work.done == 2


async def test_what_came_apart_on_its_way_is_no_twin():
    memory, work = Memory(), Work()
    work.may_end.set()
    memory.settle(make_leg(BOB))

    await memory.once(make_leg(BOB, CAT), work)
    memory.settle(make_leg(CAT))
    await memory.once(make_leg(BOB, CAT), work)

    assert work.done == 1


async def test_a_twin_waits_for_the_one_that_is_at_it():
    memory, work = Memory(), Work()

    async def at_it():
        await work()
        memory.settle(make_leg(BOB))

    first = asyncio.create_task(memory.once(make_leg(BOB), at_it))
    second = asyncio.create_task(memory.once(make_leg(BOB), at_it))
    await asyncio.sleep(0)
    assert not second.done()
    work.may_end.set()
    await asyncio.gather(first, second)

    assert work.done == 1


async def test_a_twin_takes_over_from_one_that_failed():
    memory, failing, work = Memory(), Work(), Work()
    failing.failure = RuntimeError("broken")

    first = asyncio.create_task(memory.once(make_leg(BOB), failing))
    second = asyncio.create_task(memory.once(make_leg(BOB), work))
    await asyncio.sleep(0)
    failing.may_end.set()
    work.may_end.set()
    with pytest.raises(RuntimeError):
        await first
    await second

    assert work.done == 1


def test_the_oldest_is_forgotten_first():
    memory = Memory(size=2)

    for attempt in (1, 2, 3):
        event = MailDeferred(make_leg(BOB, attempt=attempt + 1), NOON, BUSY)
        memory.leave_unsaid(make_leg(BOB, attempt=attempt), (event,))

    assert memory.unsaid(make_leg(BOB, attempt=1)) == ()
    assert memory.unsaid(make_leg(BOB, attempt=3)) == (event,)
