"""Topology: every queue and exchange on the broker, declared here and nowhere else.

Declaring with other arguments than before is refused by RabbitMQ (406), so what may
change later belongs into policies. Works on RabbitMQ 3.10 and 4.x.
"""

from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue
from pamqp.common import Arguments

from kernel.bus.port import LANES, queue_of

QUEUES = tuple(queue_of(kind, lane) for kind, lanes in LANES.items() for lane in lanes)
PARKED = "parked"

_DELIVERY_LIMIT = 20  # we park long before; this is for packs that not even reach our code
_NO_LIMIT = 1_000_000_000  # looking at a parked event counts as a delivery


@dataclass(frozen=True, slots=True)
class Topology:
    """The names on the broker. A ``prefix`` of its own keeps two systems apart."""

    prefix: str = "postroom"

    @property
    def parked(self) -> str:
        """The queue of what no consumer could handle."""
        return self.name(PARKED)

    @property
    def notices(self) -> str:
        """The exchange of broadcasts: each listener binds a queue of its own to it."""
        return self.name("notices")

    def name(self, queue: str) -> str:
        """Return what the broker calls a queue of the port."""
        return f"{self.prefix}.{queue}"

    def alone(self, queue: str) -> str:
        """Return the queue of suspects: its consumers hold one event at a time.

        Whoever dies with several events in hand cannot say which of them was to blame.
        """
        return f"{self.name(queue)}.alone"

    async def declare(self, channel: AbstractChannel) -> None:
        """Make everything that is not there yet."""
        await channel.declare_exchange(self.notices, ExchangeType.FANOUT, durable=True)
        await self._declare(channel, self.parked, {"x-delivery-limit": _NO_LIMIT})
        for queue in QUEUES:
            await self._declare(channel, self.name(queue), self._to_parked())
            await self._declare(channel, self.alone(queue), self._to_parked())

    async def declare_listener(self, channel: AbstractChannel) -> AbstractQueue:
        """Make the queue through which one connection hears broadcasts."""
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(self.notices)
        return queue

    def _to_parked(self) -> Arguments:
        return {
            "x-delivery-limit": _DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.parked,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # at-least-once asks for it
        }

    async def _declare(self, channel: AbstractChannel, name: str, arguments: Arguments) -> None:
        # A quorum queue confirms once the event is written and fsynced; a classic one before.
        await channel.declare_queue(
            name, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})}
        )
