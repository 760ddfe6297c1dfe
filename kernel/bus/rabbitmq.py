"""The bus over RabbitMQ: quorum queues, everything confirmed, events travelling in packs.

Publishing and consuming have a connection each, so that flow control on the one does
not starve the other.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self, TypeVar, cast

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from yarl import URL

from kernel import wire
from kernel.bus.handling import Handling, call_listener
from kernel.bus.port import (
    BusClosedError,
    CrowdHandler,
    Handler,
    Listener,
    Parked,
    QueueState,
    lane_of,
    queue_of,
)
from kernel.bus.rabbitmq_consumer import Consumer
from kernel.bus.rabbitmq_link import BROKER_ERRORS, Link
from kernel.bus.rabbitmq_parked import Desk
from kernel.bus.rabbitmq_publisher import Publisher
from kernel.bus.topology import Topology
from kernel.model.events import Notice, Work
from kernel.tasks import end_all

W = TypeVar("W", bound=Work)
N = TypeVar("N", bound=Notice)

_LINK_PATIENCE = 2.0  # seconds until a connection that is to end is told so again
_LONG_QUEUE = 10_000  # notices a listener may lag behind before it misses some


@asynccontextmanager
async def connect(
    url: str, *, grace: timedelta = timedelta(seconds=20)
) -> AsyncIterator["RabbitBus"]:
    """Yield the bus on the broker that ``url`` names, whether or not it is there yet.

    ``?prefix=`` in the URL names queues otherwise than ``postroom.…``.
    """
    address = URL(url)
    topology = Topology(address.query.get("prefix", Topology().prefix))
    bus = RabbitBus(address.without_query_params("prefix"), topology, grace)
    async with bus:
        yield bus


class RabbitBus:
    """Keeps the promises of `kernel.bus.port.Bus`."""

    def __init__(self, url: URL, topology: Topology, grace: timedelta) -> None:
        self._topology = topology
        self._grace = grace
        self._publisher = Publisher(url, topology)
        self._link: Link[AbstractConnection] = Link(url, "consuming", self._set_up)
        self._desk = Desk(self._publisher, topology)
        self._consumers: list[Consumer[Any]] = []
        self._listeners: list[tuple[type[Notice], asyncio.Queue[Notice]]] = []
        self._hearing_on: AbstractConnection | None = None
        self._subscribing = asyncio.Lock()
        self._links: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        links = (self._publisher.link, self._link)
        self._links = [asyncio.create_task(link.run()) for link in links]
        return self

    async def __aexit__(self, *_: object) -> None:
        links, self._links = self._links, []
        await end_all(links, patience=_LINK_PATIENCE)

    async def publish(self, *events: Work) -> None:
        """See the port."""
        self._check_open()
        await self._publisher.publish(
            [(queue_of(type(event), lane_of(event)), wire.encode(event)) for event in events]
        )

    async def consume(
        self,
        kind: type[W],
        handler: Handler[W],
        *,
        lane: str = "",
        concurrency: int = 64,
        again: Handler[W] | None = None,
    ) -> None:
        """See the port."""
        await self._consume(kind, lane, Handling.single(kind, handler, again, concurrency))

    async def consume_together(
        self, kind: type[W], handler: CrowdHandler[W], *, lane: str = "", limit: int = 500
    ) -> None:
        """See the port."""
        await self._consume(kind, lane, Handling.together(kind, handler, limit))

    async def broadcast(self, notice: Notice) -> None:
        """See the port."""
        self._check_open()
        await self._publisher.tell(wire.encode(notice))

    async def listen(self, kind: type[N], listener: Listener[N]) -> None:
        """See the port."""
        heard: asyncio.Queue[Notice] = asyncio.Queue(_LONG_QUEUE)
        entry = (cast("type[Notice]", kind), heard)
        self._listeners.append(entry)
        try:
            await self._subscribe_now()
            while True:
                await call_listener(listener, cast("N", await heard.get()))
        finally:
            self._listeners.remove(entry)

    async def queues(self) -> tuple[QueueState, ...]:
        """See the port. Messages are counted, which hold several events where many gather."""
        taken: dict[str, int] = {}
        for consumer in self._consumers:
            taken[consumer.queue] = taken.get(consumer.queue, 0) + consumer.in_hand
        return await self._desk.queues(taken)

    async def parked(self, limit: int = 100) -> tuple[Parked, ...]:
        """See the port."""
        return await self._desk.parked(limit)

    async def replay(self, key: str) -> bool:
        """See the port."""
        return await self._desk.replay(key)

    async def shortage(self) -> str:
        """See the port. The broker knows its own disk, and says so by an alarm: `trouble`."""
        return ""

    def trouble(self) -> str:
        """See the port."""
        if self._publisher.link.trouble:
            return self._publisher.link.trouble
        if not (self._consumers or self._listeners):
            return ""
        if self._link.trouble:
            return self._link.trouble
        live = all(consumer.is_live(self._link.session) for consumer in self._consumers)
        return "" if live and self._hears() else "not every consumer is at work yet"

    async def _consume(self, kind: type[W], lane: str, handling: Handling[W]) -> None:
        queue = queue_of(cast("type[Work]", kind), lane)
        consumer = Consumer(queue, handling, self._publisher, self._topology)
        self._consumers.append(consumer)
        try:
            await self._subscribe_now()
            await asyncio.Event().wait()
        finally:
            self._consumers.remove(consumer)
            await consumer.close(self._grace)

    def _check_open(self) -> None:
        if not self._links:
            raise BusClosedError("the bus is closed")

    def _hears(self) -> bool:
        return not self._listeners or self._hearing_on is self._link.session

    async def _set_up(self, connection: AbstractConnection) -> AbstractConnection:
        """Begin on a new connection."""
        channel = await connection.channel(publisher_confirms=False)
        await self._topology.declare(channel)
        await channel.close()
        await self._subscribe(connection)
        return connection

    async def _subscribe_now(self) -> None:
        """Subscribe those who came later than the connection."""
        if self._link.session is None:
            return
        try:
            await self._subscribe(self._link.session)
        except BROKER_ERRORS as error:
            self._link.start_over(f"cannot subscribe: {error}")

    async def _subscribe(self, connection: AbstractConnection) -> None:
        async with self._subscribing:
            for consumer in tuple(self._consumers):
                await consumer.subscribe(connection, self._link)
            if self._listeners and self._hearing_on is not connection:
                await self._hear(connection)

    async def _hear(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        self._link.watch(channel)
        queue = await self._topology.declare_listener(channel)
        await queue.consume(self._heard, no_ack=True)
        self._hearing_on = connection

    async def _heard(self, message: AbstractIncomingMessage) -> None:
        with contextlib.suppress(wire.UnreadableEventError):  # a newer version's notice
            notice = cast("Notice", wire.decode(message.body))
            for kind, heard in self._listeners:
                if isinstance(notice, kind) and not heard.full():
                    heard.put_nowait(notice)
