"""An auth that knows nothing but what delivery asks of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from kernel import wire
from kernel.model.sending import Sending


@dataclass
class Office:
    """What it answers, how often it was asked, and the URL where it can be asked.

    ``sending`` may be changed meanwhile; ``None`` is no answer at all.
    """

    sending: Sending | None = field(default_factory=Sending)
    asked: int = 0
    url: str = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.sending is None:
            return web.Response(status=503)
        return web.Response(body=wire.to_json(self.sending), content_type="application/json")


@asynccontextmanager
async def sending_office(sending: Sending | None = Sending()) -> AsyncIterator[Office]:  # noqa: B008 - frozen
    """Yield an office that is open on a port of its own."""
    office = Office(sending)
    app = web.Application()
    app.router.add_get("/internal/sending", office.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    office.url = f"http://{host}:{port}"
    try:
        yield office
    finally:
        await runner.cleanup()
