"""A remote site that counts who is there at a time, and takes its time over messages."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from kernel.clock import system_clock
from kernel.model.events import Remote
from kernel.model.sending import Sending
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.adapters.templates import load_templates
from services.delivery.core.routes import Host
from services.delivery.core.schedule import RetrySchedule
from services.delivery.core.smtp_client import Phase
from services.delivery.ports import Site
from services.delivery.reporter import Reporter
from services.delivery.service import Delivery
from tests.support.fakes import make_platform

_ANSWERS = {
    b"EHLO": b"250-there.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 Go ahead\r\n",
    b"QUIT": b"221 Bye\r\n",
}


@dataclass
class RemoteSite:
    """``delay`` seconds pass between the final dot and the answer to it, or all until `go_on`."""

    delay: float = 0.0
    go_on: asyncio.Event | None = None
    greeting: bytes = b"220 there.test\r\n"
    host: str = "127.0.0.1"
    port: int = 0
    here: int = 0
    most: int = 0
    callers: int = 0
    messages: int = 0
    recipients: Counter = field(default_factory=Counter)

    async def talk(self, reader, writer):
        self.callers += 1
        self.here += 1
        self.most = max(self.most, self.here)
        try:
            writer.write(self.greeting)
            while line := await reader.readline():
                await self._answer(line, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.here -= 1
            writer.close()

    async def _answer(self, line, reader, writer):
        verb = line[:4].upper()
        writer.write(_ANSWERS.get(verb, b"250 OK\r\n"))
        if verb == b"RCPT":
            self.recipients[line.partition(b"<")[2].partition(b">")[0].decode()] += 1
        elif verb == b"DATA":
            await reader.readuntil(b"\r\n.\r\n")
            await (self.go_on.wait() if self.go_on else asyncio.sleep(self.delay))
            self.messages += 1
            writer.write(b"250 2.0.0 Queued\r\n")
        elif verb == b"QUIT":
            raise ConnectionResetError


@asynccontextmanager
async def remote_site(**facts):
    """Yield a `RemoteSite` that listens meanwhile."""
    site = RemoteSite(**facts)
    talks = set()

    async def talk(reader, writer):
        talks.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await site.talk(reader, writer)
        talks.discard(asyncio.current_task())

    server = await asyncio.start_server(talk, site.host, site.port)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in tuple(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


class SiteDirections:
    """Leads each domain to the site of that name; ``route`` holds for all."""

    def __init__(self, route=None, **sites):
        self.sites = sites
        self.route = route

    async def find(self, domain):
        name = domain.partition(".")[0]
        there = self.sites[name]
        return Site(name, (Host(name, there.host, there.port),), route=self.route)


def delivery_over(bus, courier):
    """Return a delivery service that carries remote legs by ``courier``."""
    platform = make_platform(bus=bus, clock=system_clock)
    reporter = Reporter(platform, load_templates())
    return Delivery(platform, {Remote: courier}, reporter, RetrySchedule())


def courier_by(directions, shaping, timeout=5.0):
    """Return a courier over real sockets."""
    timeouts = dict.fromkeys(Phase, timeout)
    dialler = Dialler(Dialling("us.test", timeouts, connect_timeout=timeout))
    return SmtpCourier(directions, dialler, Preparer(make_platform(), Sending), shaping)
