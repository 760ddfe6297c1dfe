"""The whole router over an embedded bus, with an auth that comes and goes."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web

from kernel import wire
from kernel.bus import sqlite
from kernel.model.address import Address
from kernel.model.events import MailAccepted, MailRouted
from kernel.model.questions import Place, Whereabouts
from services.router.main import serve
from services.router.settings import Settings
from tests.support.fakes import make_platform
from tests.support.mail import BOB, make_envelope, make_leg


async def whereabouts(request):
    addresses = wire.from_json(await request.read(), list[Address])
    answers = [Whereabouts(address, Place.REMOTE, whole_domain=True) for address in addresses]
    return web.Response(body=wire.to_json(answers))


@asynccontextmanager
async def auth_on(port):
    app = web.Application()
    app.router.add_post("/internal/whereabouts", whereabouts)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_mail_that_came_while_auth_was_away_is_routed_once_it_is_back(tmp_path, own_port):
    got = asyncio.Queue()
    settings = {"auth_url": f"http://127.0.0.1:{own_port}"}
    async with sqlite.connect(f"sqlite:///{tmp_path}/bus.db", grace=timedelta(seconds=2)) as bus:
        platform = make_platform(bus=bus, settings=settings)
        async with (
            running(serve(platform, Settings())),
            running(bus.consume(MailRouted, got.put, lane="remote")),
            asyncio.timeout(20),
        ):
            await bus.publish(MailAccepted(make_envelope(BOB)))
            while not platform.health.troubles().get("router: auth"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)

            async with auth_on(own_port):
                assert await got.get() == make_leg(BOB)

            assert platform.health.troubles() == {}
            assert await bus.parked() == ()
