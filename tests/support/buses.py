"""Every bus adapter behind one face, and a consumer that remembers what it was handed."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika

from kernel import wire
from kernel.bus import rabbitmq, sqlite
from kernel.bus.port import Bus
from kernel.bus.topology import QUEUES, Topology
from kernel.model.events import MailAccepted

DEADLINE = 30.0
GRACE = timedelta(seconds=5)


class SqliteBuses:
    """Connections to one file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bus.db"
        self.url = f"sqlite:///{self._path}"

    def open(self, grace: timedelta = GRACE) -> contextlib.AbstractAsyncContextManager[Bus]:
        return sqlite.connect(self.url, grace=grace)

    async def put_garbage(self, queue: str, data: bytes) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as db, db:
            db.execute("INSERT INTO event (queue, data) VALUES (?, ?)", (queue, data))

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Somebody else keeps the file locked meanwhile."""
        with contextlib.closing(sqlite3.connect(self._path)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    async def close(self) -> None:
        pass


class RabbitBuses:
    """Connections to one prefix on the broker, through a proxy that can be cut."""

    def __init__(self, amqp_url: str, prefix: str, proxy: "Proxy") -> None:
        self._direct = amqp_url
        self._topology = Topology(prefix)
        self._proxy = proxy
        port = urlsplit(amqp_url).port
        self.url = amqp_url.replace(f":{port}", f":{proxy.port}") + f"?prefix={prefix}"

    def open(self, grace: timedelta = GRACE) -> contextlib.AbstractAsyncContextManager[Bus]:
        return rabbitmq.connect(self.url, grace=grace)

    async def put_garbage(self, queue: str, data: bytes) -> None:
        await self.put_raw(queue, wire.pack([data]))

    async def put_raw(self, queue: str, body: bytes) -> None:
        """Put a message on a queue that may not even be a pack."""
        async with self._channel() as channel:
            await channel.default_exchange.publish(
                aio_pika.Message(body), self._topology.name(queue)
            )

    async def delete(self, queue: str) -> None:
        async with self._channel() as channel:
            await channel.queue_delete(self._topology.name(queue))

    async def messages(self, queue: str) -> int:
        """Return how many messages stand in a queue."""
        async with self._channel() as channel:
            found = await channel.declare_queue(self._topology.name(queue), passive=True)
            return found.declaration_result.message_count

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The broker cannot be reached meanwhile."""
        await self._proxy.cut()
        yield
        await self.mend()

    async def mend(self) -> None:
        await self._proxy.mend()

    async def close(self) -> None:
        async with self._channel() as channel:
            names = [self._topology.parked, *map(self._topology.name, QUEUES)]
            for name in (*names, *map(self._topology.alone, QUEUES)):
                await channel.queue_delete(name)
            await channel.exchange_delete(self._topology.notices)

    @asynccontextmanager
    async def _channel(self):
        async with await aio_pika.connect(self._direct) as connection:
            yield await connection.channel()


class Proxy:
    """A TCP proxy on loopback that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        if self._server is not None and self._server.is_serving():
            return
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            self._writers -= {writer, back}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class Taken:
    """What a consumer was handed, in order: first tries and later ones."""

    def __init__(self) -> None:
        self.first: list = []
        self.again: list = []
        self._changed = asyncio.Condition()

    async def handler(self, event) -> None:
        await self._note(self.first, event)

    async def again_handler(self, event) -> None:
        await self._note(self.again, event)

    async def wait_for(self, count: int) -> list:
        """Return everything once there is so much."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: len(self.first) + len(self.again) >= count)
        return self.first + self.again

    async def _note(self, events: list, event) -> None:
        async with self._changed:
            events.append(event)
            self._changed.notify_all()


@asynccontextmanager
async def consuming(bus: Bus, handler, kind=MailAccepted, **options) -> AsyncIterator[None]:
    """Consume meanwhile."""
    async with background(bus.consume(kind, handler, **options)):
        await working(bus)
        yield


@asynccontextmanager
async def background(coroutine) -> AsyncIterator[asyncio.Task]:
    """Run something meanwhile; it must not end by itself."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def working(bus: Bus) -> None:
    """Wait until nothing troubles the bus."""
    await eventually(lambda: not bus.trouble())


async def eventually(is_so) -> None:
    """Wait until ``is_so()``, which may be a coroutine function."""
    async with asyncio.timeout(DEADLINE):
        while True:
            answer = is_so()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.02)
