"""Publishing to RabbitMQ: confirmed, mandatory, persistent, in packs, and never for ever."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError
from yarl import URL

from kernel import metrics, wire
from kernel.batching import Batcher
from kernel.bus.port import LANES, REMOTE, BusUnavailableError, queue_of
from kernel.bus.rabbitmq_link import BROKER_ERRORS, Link
from kernel.bus.topology import QUEUES, Topology

PUBLISH_TIMEOUT = 10.0
MAX_EVENTS = 64
MAX_REMOTE_EVENTS = 16
"""A worker that is killed leaves its packs in doubt, and remote mail cannot be unsent."""
IN_FLIGHT = 1
"""Unconfirmed publishes for a queue: the fewer, the more events travel together. With one
instead of two a message costs 3.8 ms of everybody's CPU instead of 5.2."""
MAX_OCTETS = 1_000_000

FAILURES = "postroom-failures"
AGAIN = "postroom-again"
QUEUE = "postroom-queue"
WHY = "postroom-why"
_PUBLISHED = {
    queue_of(kind, lane): metrics.EVENTS_PUBLISHED.labels(kind.__name__)
    for kind, lanes in LANES.items()
    for lane in lanes
}

Headers = Mapping[str, str | int]

Run = tuple[bytes, ...]
"""Consecutive events of one publish for one queue."""


@dataclass(frozen=True, slots=True)
class Session:
    """What one connection gives us."""

    connection: AbstractConnection
    channel: AbstractChannel
    notices: AbstractExchange


class Publisher:
    """Publishes over a connection of its own."""

    def __init__(self, url: URL, topology: Topology) -> None:
        self.link: Link[Session] = Link(url, "publishing", self._set_up)
        self._topology = topology
        self._batchers = {queue: self._batcher(queue) for queue in QUEUES}

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Publish (queue, event) pairs, in order; returns once all of them are safe."""
        clock = asyncio.get_running_loop().time
        end = clock() + PUBLISH_TIMEOUT
        try:
            for queue, run in groupby(events, key=itemgetter(0)):
                batch = tuple([data for _, data in run])
                await self._batchers[queue].ask(batch, within=end - clock())
        except (TimeoutError, OSError) as error:
            raise BusUnavailableError(self.link.trouble or _no_answer(error)) from error

    async def send(self, routing_key: str, body: bytes, headers: Headers | None = None) -> None:
        """Publish one message to a queue of the broker; returns once it is safe."""
        session = await self.session()
        await self._send(session.channel, routing_key, body, headers)

    async def tell(self, notice: bytes) -> None:
        """Publish a broadcast. It is no matter if nobody listens."""
        session = await self.session()
        message = Message(notice, message_id=uuid4().hex)
        try:
            await session.notices.publish(message, "", mandatory=False, timeout=PUBLISH_TIMEOUT)
        except BROKER_ERRORS as error:
            raise BusUnavailableError(_no_answer(error)) from error

    async def session(self) -> Session:
        """Return what we have on the broker, once there is a connection."""
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                return await self.link.wait_until_up()
        except TimeoutError as error:
            raise BusUnavailableError(self.link.trouble) from error

    def _batcher(self, queue: str) -> Batcher[Run, None]:
        limit = MAX_REMOTE_EVENTS if queue.endswith(f".{REMOTE}") else MAX_EVENTS
        share = MAX_OCTETS // limit
        return Batcher(
            partial(self._send_runs, queue, limit),
            limit=limit,
            in_flight=IN_FLIGHT,
            weigh=lambda run: max(sum(map(len, run)), share * len(run)),
            max_weight=MAX_OCTETS,
        )

    async def _send_runs(self, queue: str, limit: int, runs: Sequence[Run]) -> list[None]:
        """Send what gathered on one channel: when it breaks, the last packs are lost first."""
        channel = (await self.session()).channel
        name = self._topology.name(queue)
        packs = _packs([data for run in runs for data in run], limit)
        await asyncio.gather(*[self._send(channel, name, wire.pack(pack)) for pack in packs])
        _PUBLISHED[queue].inc(sum(map(len, runs)))
        return [None] * len(runs)

    async def _send(
        self, channel: AbstractChannel, name: str, body: bytes, headers: Headers | None = None
    ) -> None:
        message = Message(
            body,
            headers=dict(headers or {}),
            message_id=uuid4().hex,  # returned messages are matched by it
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        try:
            await channel.default_exchange.publish(
                message, name, mandatory=True, timeout=PUBLISH_TIMEOUT
            )
        except PublishError as error:
            self.link.start_over(f"{name} is gone")  # connecting anew declares it again
            raise BusUnavailableError(f"the broker has no queue {name}") from error
        except DeliveryError as error:
            raise BusUnavailableError(f"the broker has refused an event for {name}") from error
        except BROKER_ERRORS as error:
            raise BusUnavailableError(self.link.trouble or _no_answer(error)) from error

    async def _set_up(self, connection: AbstractConnection) -> Session:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self.link.watch(channel)
        await self._topology.declare(channel)
        notices = await channel.get_exchange(self._topology.notices, ensure=False)
        return Session(connection, channel, notices)


def _packs(events: list[bytes], limit: int) -> Iterator[list[bytes]]:
    pack: list[bytes] = []
    octets = 0
    for data in events:
        if pack and (len(pack) == limit or octets + len(data) > MAX_OCTETS):
            yield pack
            pack, octets = [], 0
        pack.append(data)
        octets += len(data)
    yield pack


def _no_answer(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"the broker did not confirm within {PUBLISH_TIMEOUT:.0f} s"
    return f"the connection to the broker broke: {error}"
