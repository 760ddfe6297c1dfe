"""Consuming from RabbitMQ: packs come in, single events go to the handler.

A pack is acknowledged when all of its events are done; one that failed is published
again alone, to wait and be tried once more, so that it holds up nobody.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from kernel import wire
from kernel.batching import Batcher
from kernel.bus.handling import MAX_FAILURES, Handling, retry_delay, wind_down
from kernel.bus.port import BusUnavailableError
from kernel.bus.rabbitmq_link import BROKER_ERRORS, Link
from kernel.bus.rabbitmq_publisher import AGAIN, FAILURES, QUEUE, WHY, Headers, Publisher
from kernel.bus.topology import Topology
from kernel.model.events import Work

W = TypeVar("W", bound=Work)

_ROOM_FOR_SLEEPERS = 16
"""Messages beyond those at work: events that wait for their next try hold up no other."""
_MOST_PACKS = 64
"""From so many messages events may be handled in one call."""
_SUSPECT = 2
"""An event that came back so often without an answer is handled alone; after that, parked."""
_RETRY_PUBLISH = 1.0

_log = structlog.get_logger("bus")


@dataclass(slots=True, eq=False)
class Pack:
    """A message, and what is left to do of it."""

    message: AbstractIncomingMessage
    alone: bool
    left: dict[int, bytes]
    size: int = 0

    def open(self) -> None:
        """Read it, or raise `wire.UnreadableEventError`."""
        self.left = dict(enumerate(wire.unpack(self.message.body)))
        self.size = len(self.left)

    @property
    def failures(self) -> int:
        """How often its one event has failed."""
        return self._number(FAILURES)

    @property
    def returns(self) -> int:
        """How often it came back without an answer."""
        return self._number("x-delivery-count")

    @property
    def again(self) -> bool:
        """Whether its events may have been handled before."""
        return bool(self.message.redelivered or self.failures or self._number(AGAIN))

    def _number(self, header: str) -> int:
        value = self.message.headers.get(header, 0)
        return value if isinstance(value, int) else 0


class Consumer(Generic[W]):
    """Hands the events of one queue to the handler, so many at once as its handling says."""

    def __init__(
        self,
        queue: str,
        handling: Handling[W],
        publisher: Publisher,
        topology: Topology,
    ) -> None:
        self.queue = queue
        self._handling = handling
        self._room = asyncio.Semaphore(handling.concurrency)
        self._crowd: Batcher[list[W], bool] = Batcher(
            self._attempt_all, limit=handling.limit, in_flight=1, weigh=len
        )
        self._publisher = publisher
        self._topology = topology
        self._channels: list[AbstractChannel] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._connection: AbstractConnection | None = None

    @property
    def in_hand(self) -> int:
        """How many messages are being worked on."""
        return len(self._tasks)

    def is_live(self, connection: AbstractConnection | None) -> bool:
        """Whether the broker knows us as a consumer on this connection."""
        return connection is not None and self._connection is connection

    async def subscribe(
        self, connection: AbstractConnection, link: Link[AbstractConnection]
    ) -> None:
        """Start to take messages over ``connection``, if that has not been done."""
        if self.is_live(connection) or self._closing.is_set():
            return
        many = self._handling.concurrency * min(self._handling.limit, _MOST_PACKS)
        self._channels = [
            await self._open(
                connection, link, self._topology.name(self.queue), many + _ROOM_FOR_SLEEPERS
            ),
            await self._open(connection, link, self._topology.alone(self.queue), 1),
        ]
        self._connection = connection

    async def close(self, grace: timedelta) -> None:
        """Take nothing more; give handlers ``grace`` to end, then hand back what they have."""
        self._closing.set()
        try:
            await wind_down(self._tasks, grace)
        finally:
            for channel in self._channels:  # what was not acknowledged goes back by itself
                with contextlib.suppress(*BROKER_ERRORS):
                    await channel.close()

    async def _open(
        self,
        connection: AbstractConnection,
        link: Link[AbstractConnection],
        name: str,
        prefetch: int,
    ) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=prefetch)
        queue = await channel.get_queue(name, ensure=False)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: link.start_over(f"{name} is gone"))
        link.watch(channel, unless=self._closing.is_set)
        await queue.consume(partial(self._arrived, alone=prefetch == 1))
        return channel

    async def _arrived(self, message: AbstractIncomingMessage, *, alone: bool) -> None:
        if self._closing.is_set():
            return
        task = asyncio.create_task(self._handle(message, alone=alone))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, message: AbstractIncomingMessage, *, alone: bool) -> None:
        pack = Pack(message, alone, {})
        try:
            pack.open()
            if pack.returns >= _SUSPECT:
                await self._isolate(pack)
            else:
                await self._work_through(pack)
        except wire.UnreadableEventError as error:
            await self._park(message.body, f"unreadable: {error}")
        except asyncio.CancelledError:
            await self._hand_back(pack)
            raise
        if not pack.left:
            await _acknowledge(message)
        elif len(pack.left) < pack.size:
            await self._hand_back(pack)

    async def _work_through(self, pack: Pack) -> None:
        """Handle every event. What comes again is handled one by one: twins may meet."""
        if pack.failures and not await self._wait(retry_delay(pack.failures)):
            return
        if self._handling.limit > 1:
            await self._work_together(pack)
        elif pack.again:
            for number in tuple(pack.left):
                await self._work(pack, number)
        else:
            await asyncio.gather(*[self._work(pack, number) for number in tuple(pack.left)])

    async def _work_together(self, pack: Pack) -> None:
        """Handle all events along with those of other packs; if that fails, one by one."""
        goes_along = pack.left and not (pack.alone or pack.failures)
        if goes_along and await self._attempt_together(pack):
            pack.left.clear()
            return
        for number in tuple(pack.left):
            await self._work(pack, number)

    async def _attempt_together(self, pack: Pack) -> bool:
        try:
            events = [self._handling.read(data) for data in pack.left.values()]
            return await self._crowd.ask(events)
        except wire.UnreadableEventError:
            return False
        except asyncio.CancelledError:
            await self._crowd.cut_off()  # before the events are handed back
            raise

    async def _attempt_all(self, packs: Sequence[list[W]]) -> list[bool]:
        """Handle the events of ``packs`` in one call; whether that went well, for each."""
        events = [event for pack in packs for event in pack]
        async with self._room:
            failed = self._closing.is_set() or await self._handling.attempt(events, again=False)
        return [not failed] * len(packs)

    async def _work(self, pack: Pack, number: int) -> None:
        data = pack.left[number]
        try:
            event = self._handling.read(data)
        except wire.UnreadableEventError as error:
            await self._park(wire.pack([data]), f"unreadable: {error}")
        else:
            async with self._room:
                if self._closing.is_set():
                    return
                why = await self._handling.attempt([event], again=pack.again)
            if why:
                await self._failed(data, pack.failures + 1, why)
        del pack.left[number]

    async def _failed(self, data: bytes, failures: int, why: str) -> None:
        if failures >= MAX_FAILURES:
            await self._park(wire.pack([data]), why)
        else:
            name = self._topology.name(self.queue)
            await self._insist(name, wire.pack([data]), {FAILURES: failures})

    async def _isolate(self, pack: Pack) -> None:
        """Workers have died with this pack in hand: find out which event kills them."""
        for number, data in tuple(pack.left.items()):
            if pack.alone:
                await self._park(wire.pack([data]), "its worker died while it had the event")
            else:
                headers = {FAILURES: pack.failures, AGAIN: 1}
                await self._insist(self._topology.alone(self.queue), wire.pack([data]), headers)
            del pack.left[number]

    async def _park(self, body: bytes, why: str) -> None:
        await self._insist(self._topology.parked, body, {QUEUE: self.queue, WHY: why})
        self._handling.parked(why, self.queue)

    async def _hand_back(self, pack: Pack) -> None:
        """Give back what is left of a pack without what is done."""
        name = self._topology.alone(self.queue) if pack.alone else self._topology.name(self.queue)
        headers = {FAILURES: pack.failures, AGAIN: 1}
        with contextlib.suppress(BusUnavailableError):  # then the broker gives it all again
            if pack.left:
                await self._publisher.send(name, wire.pack(list(pack.left.values())), headers)
            await _acknowledge(pack.message)

    async def _insist(self, name: str, body: bytes, headers: Headers) -> None:
        """Publish, however long it takes: the event stays ours meanwhile."""
        while True:
            try:
                return await self._publisher.send(name, body, headers)
            except BusUnavailableError as error:
                _log.warning("cannot put an event back", queue=self.queue, why=str(error))
            await asyncio.sleep(_RETRY_PUBLISH)

    async def _wait(self, seconds: float) -> bool:
        """Wait; whether we are still to go on then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        return not self._closing.is_set()


async def _acknowledge(message: AbstractIncomingMessage) -> None:
    """Say that a message is done. If the channel is gone, somebody else gets it again."""
    with contextlib.suppress(*BROKER_ERRORS):
        await message.ack()
