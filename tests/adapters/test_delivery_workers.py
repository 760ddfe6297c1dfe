"""Workers over one bus keep a site's limit together; a site that counts its callers proves it."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from kernel.bus.port import REMOTE
from kernel.clock import system_clock
from kernel.model.events import OUTCOMES, MailDeferred, MailRouted, Remote
from kernel.tasks import end_all
from services.delivery import fellows as presence
from services.delivery.core.suspension import Rest
from services.delivery.fellows import Fellows
from services.delivery.main import among_fellows
from services.delivery.ports import Later
from services.delivery.shaping import Manners, Shaping
from tests.support.buses import (
    GRACE,
    Proxy,
    RabbitBuses,
    SqliteBuses,
    background,
    eventually,
)
from tests.support.buses import working as working_bus
from tests.support.fakes import make_platform
from tests.support.mail import BOB, make_leg
from tests.support.sites import SiteDirections, courier_by, delivery_over, remote_site

LIMIT = 6


@pytest.fixture(params=["sqlite", "rabbitmq"])
async def buses(request, tmp_path):
    """A place for connections of every adapter in turn."""
    if request.param == "sqlite":
        yield SqliteBuses(tmp_path)
        return
    amqp_url = request.getfixturevalue("amqp_url")
    proxy = Proxy(urlsplit(amqp_url).port)
    await proxy.mend()
    rabbit = RabbitBuses(amqp_url, f"test-{uuid4().hex}", proxy)
    yield rabbit
    await proxy.cut()
    await rabbit.close()


class Worker:
    """Sends to the sites as fast as it may, as if there were no end of mail."""

    def __init__(self, bus, directions, **manners):
        self.fellows = Fellows(bus)
        self.shaping = Shaping(
            Manners(**{"connections": LIMIT, "patience": 0.05, **manners}),
            self.fellows,
            system_clock,
        )
        self.courier = courier_by(directions, self.shaping)
        self.shaping.when_changed = self.courier.trim
        self.carried = self.put_off = 0
        self.is_leaving = False

    async def work(self, domain="site.test"):
        leg = make_leg(BOB, hop=Remote(domain))
        while not self.is_leaving:
            result = await self.courier.carry(leg)
            if isinstance(result, Later):
                self.put_off += 1
                await asyncio.sleep(0.02)
            else:
                self.carried += 1


@asynccontextmanager
async def working(buses, directions, hands=10, **manners):
    """Yield a worker that is at work, with a bus of its own, as in a process of its own."""
    async with buses.open() as bus:
        worker = Worker(bus, directions, **manners)
        async with among_fellows(make_platform(bus=bus), worker.fellows, worker.shaping):
            await worker.fellows.join()
            tasks = [asyncio.create_task(worker.work()) for _ in range(hands)]
            try:
                yield worker
            finally:
                worker.is_leaving = True  # the site learns late of a conversation that is cut short
                _, stuck = await asyncio.wait(tasks, timeout=1)
                await end_all(stuck)
                worker.courier.close()


async def test_two_workers_keep_the_limit_of_a_site_while_one_comes_and_goes(buses):
    async with remote_site(delay=0.02) as site, working(buses, SiteDirections(site=site)) as first:
        await eventually(lambda: site.here == LIMIT)

        async with working(buses, SiteDirections(site=site)) as second:
            await eventually(lambda: second.carried > 50)
            assert first.shaping.room("site") == second.shaping.room("site") == LIMIT // 2

        await eventually(lambda: first.shaping.room("site") == LIMIT)
        await eventually(lambda: site.here == LIMIT)
        assert site.most == LIMIT


async def test_one_who_is_killed_is_missed_after_a_while(buses, monkeypatch):
    monkeypatch.setattr(presence, "PERIOD", 0.1)
    monkeypatch.setattr(presence, "SILENCE", 1.0)
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(remote_site())
        first = await stack.enter_async_context(working(buses, SiteDirections(site=site)))
        other = await stack.enter_async_context(buses.open())
        killed = Fellows(other)
        async with background(killed.run()):
            await killed.join()
            await eventually(lambda: len(first.fellows.workers) == 2)

        await eventually(lambda: len(first.fellows.workers) == 1)


async def test_a_site_that_is_down_is_left_alone_by_all_and_resumed_for_all(buses):
    rest = {"rest": Rest(timedelta(seconds=1), timedelta(seconds=1))}
    async with (
        remote_site(greeting=b"421 4.3.2 Not now\r\n") as site,
        working(buses, SiteDirections(site=site), **rest) as first,
        working(buses, SiteDirections(site=site), **rest) as second,
    ):
        workers = (first.shaping, second.shaping)
        await eventually(lambda: all(has_suspended(worker) for worker in workers))
        calls = site.callers
        assert calls < 4 * LIMIT

        site.greeting = b"220 there.test\r\n"

        await eventually(lambda: not any(has_suspended(worker) for worker in workers))
        done = first.carried, second.carried
        await eventually(lambda: first.carried > done[0] and second.carried > done[1])


async def test_a_leg_whose_worker_died_while_it_dialled_is_not_dialled_for_at_once(buses):
    async with remote_site(greeting=b"") as site:
        async with delivering(buses, site, grace=timedelta(0)) as bus:
            await bus.publish(make_leg(BOB, hop=Remote("site.test"), received_at=system_clock()))
            await eventually(lambda: site.callers == 1)

        waiting = []

        async def keep(deferred):
            waiting.append(deferred)

        async with delivering(buses, site) as bus, background(bus.consume(MailDeferred, keep)):
            await eventually(lambda: waiting)

    assert site.callers == 1
    assert waiting[0].unless == OUTCOMES
    assert waiting[0].due - waiting[0].leg.envelope.received_at > timedelta(seconds=4)


@asynccontextmanager
async def delivering(buses, site, grace=GRACE):
    """Yield a bus from which a worker takes legs meanwhile."""
    async with buses.open(grace) as bus:
        shaping = Shaping(Manners(), Fellows(bus), system_clock)
        delivery = delivery_over(bus, courier_by(SiteDirections(site=site), shaping, timeout=60.0))
        consuming = bus.consume(MailRouted, delivery.attempt, lane=REMOTE, again=delivery.recover)
        async with background(consuming):
            await working_bus(bus)
            yield bus


def has_suspended(shaping):
    state = shaping._sites.get("site")
    return state is not None and state.suspension is not None
