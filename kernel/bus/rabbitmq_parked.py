"""The parked queue on RabbitMQ, looked at and emptied by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from kernel import wire
from kernel.bus.port import BusUnavailableError, Parked, QueueState
from kernel.bus.rabbitmq_link import BROKER_ERRORS
from kernel.bus.rabbitmq_publisher import AGAIN, PUBLISH_TIMEOUT, QUEUE, WHY, Publisher
from kernel.bus.topology import PARKED, QUEUES, Topology

_EVERYTHING = 100_000


class Desk:
    """Questions about queues, on one channel of their own, one at a time."""

    def __init__(self, publisher: Publisher, topology: Topology) -> None:
        self._publisher = publisher
        self._topology = topology
        self._channel: AbstractChannel | None = None
        self._lock = asyncio.Lock()

    async def queues(self, taken: dict[str, int]) -> tuple[QueueState, ...]:
        """Return the state of every queue. It counts messages; ``taken`` is ours alone."""
        async with self._open() as channel:
            states = []
            for queue in QUEUES:
                ready, consumers = await _count(channel, self._topology.name(queue))
                suspects, _ = await _count(channel, self._topology.alone(queue))
                ours = taken.get(queue, 0)
                states.append(QueueState(queue, ready + suspects, ours, consumers, ours))
            parked, _ = await _count(channel, self._topology.parked)
        return (*states, QueueState(PARKED, parked, 0, 0))

    async def parked(self, limit: int) -> tuple[Parked, ...]:
        """Return what is parked, oldest first; it stays where it is."""
        async with self._open() as channel:
            messages = [message async for message in self._take(channel, limit)]
            for message in messages:
                await message.nack(requeue=True)
        return tuple(self._describe(message) for message in messages)

    async def replay(self, key: str) -> bool:
        """Put the parked event of that key back on its queue."""
        found = False
        async with self._open() as channel:
            passed = []
            async for message in self._take(channel, _EVERYTHING):
                found = message.message_id == key
                if found:
                    await self._put_back(message)
                    break
                passed.append(message)
            for message in passed:
                await message.nack(requeue=True)
        return found

    async def _put_back(self, message: AbstractIncomingMessage) -> None:
        name = self._topology.name(self._describe(message).queue)
        await self._publisher.send(name, message.body, {AGAIN: 1})
        await message.ack()

    async def _take(
        self, channel: AbstractChannel, limit: int
    ) -> AsyncIterator[AbstractIncomingMessage]:
        queue = await channel.get_queue(self._topology.parked, ensure=False)
        for _ in range(limit):
            message = await queue.get(fail=False)
            if message is None:
                return
            yield message

    def _describe(self, message: AbstractIncomingMessage) -> Parked:
        """Ours say where they belong; for those that the broker gave up on, the broker does."""
        dead_in = str(message.headers.get("x-first-death-queue", ""))
        dead_in = dead_in.removeprefix(f"{self._topology.prefix}.").removesuffix(".alone")
        queue = str(message.headers.get(QUEUE, dead_in))
        why = str(message.headers.get(WHY, "delivered too often without an answer"))
        return Parked(message.message_id or "", queue, why, _single(message.body))

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[AbstractChannel]:
        """Yield our channel; left in mid-question it is closed, and frees what it held."""
        try:
            async with self._lock, asyncio.timeout(PUBLISH_TIMEOUT):
                channel, self._channel = await self._channel_or_new(), None
                try:
                    yield channel
                except BaseException:
                    await _close(channel)
                    raise
                self._channel = channel
        except BROKER_ERRORS as error:
            raise BusUnavailableError(self._publisher.link.trouble or str(error)) from error

    async def _channel_or_new(self) -> AbstractChannel:
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        session = await self._publisher.session()
        return await session.connection.channel(publisher_confirms=False)


async def _close(channel: AbstractChannel) -> None:
    """Close a channel without waiting for long: its connection may be gone."""
    with suppress(*BROKER_ERRORS):
        async with asyncio.timeout(1):
            await asyncio.shield(channel.close())


async def _count(channel: AbstractChannel, name: str) -> tuple[int, int]:
    queue = await channel.declare_queue(name, passive=True)
    result = queue.declaration_result
    return result.message_count or 0, result.consumer_count or 0


def _single(body: bytes) -> bytes:
    try:
        (event,) = wire.unpack(body)
    except ValueError:
        return body
    return event
