"""A site that does not answer keeps no mail from the others, however much there is for it."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from kernel.bus.port import REMOTE
from kernel.clock import system_clock
from kernel.model.events import MailDeferred, MailRouted, Remote
from services.delivery.fellows import Fellows
from services.delivery.shaping import Manners, Shaping
from tests.support.buses import SqliteBuses, background, eventually
from tests.support.mail import BOB, make_leg
from tests.support.sites import SiteDirections, courier_by, delivery_over, remote_site

SLOTS, SITES, EACH = 30, 9, 20


class WaitingRoom:
    """Sends a leg back to the bus when it is due, as the ledger does; counts how often."""

    def __init__(self, bus):
        self.bus = bus
        self.came = 0
        self.tasks = set()

    async def take(self, deferred):
        self.came += 1
        task = asyncio.create_task(self.release(deferred))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def release(self, deferred):
        await asyncio.sleep((deferred.due - system_clock()).total_seconds())
        await self.bus.publish(deferred.leg)


@asynccontextmanager
async def delivering(bus, sites):
    """Carry legs on the bus to the sites meanwhile; yield the room where others wait."""
    room = WaitingRoom(bus)
    shaping = Shaping(Manners(slots=SLOTS), Fellows(bus), system_clock)
    courier = courier_by(SiteDirections(**sites), shaping, timeout=60.0)
    delivery = delivery_over(bus, courier)
    consuming = bus.consume(MailRouted, delivery.attempt, lane=REMOTE, concurrency=SLOTS)
    async with background(consuming), background(bus.consume(MailDeferred, room.take)):
        yield room
    for task in tuple(room.tasks):
        task.cancel()
    courier.close()


def leg_to(site, number):
    leg = make_leg(BOB, hop=Remote(f"{site}.test"), received_at=system_clock())
    return replace(leg, envelope=replace(leg.envelope, id=f"{site}{number:020d}"))


async def test_a_site_that_does_not_answer_keeps_nothing_from_the_others(tmp_path):
    go_on = asyncio.Event()
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(remote_site(go_on=go_on))
        others = [await stack.enter_async_context(remote_site()) for _ in range(SITES)]
        bus = await stack.enter_async_context(SqliteBuses(tmp_path).open())
        sites = {"slow": slow} | {f"site{n}": there for n, there in enumerate(others)}
        room = await stack.enter_async_context(delivering(bus, sites))

        await bus.publish(*(leg_to("slow", number) for number in range(10 * SLOTS)))
        await bus.publish(
            *(leg_to(name, n) for name in sites if name != "slow" for n in range(EACH))
        )

        await eventually(lambda: sum(there.messages for there in others) == SITES * EACH)
        assert slow.messages == 0
        assert slow.most <= 5
        assert 5 * SLOTS < room.came < 15 * SLOTS
        go_on.set()
        await eventually(lambda: slow.messages > 2 * slow.most)

    assert max(slow.recipients.values()) <= 10 * SLOTS
