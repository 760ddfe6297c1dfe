"""The bus as services see it: single events, whatever they travel in.

Adapters: `kernel.bus.sqlite` (one machine) and `kernel.bus.rabbitmq`. One
contract suite, ``tests/contract/test_bus*.py``, holds them to these words.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kernel.model.events import (
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Notice,
    Remote,
    Work,
)

W = TypeVar("W", bound=Work)
N = TypeVar("N", bound=Notice)
Handler = Callable[[W], Awaitable[None]]
CrowdHandler = Callable[[Sequence[W]], Awaitable[None]]
Listener = Callable[[N], Awaitable[None]]

LOCAL, REMOTE = "local", "remote"
"""The lanes of `MailRouted`: a slow remote host must not keep mail from our mailboxes."""

LANES: dict[type[Work], tuple[str, ...]] = {
    MailAccepted: ("",),
    MailRouted: (LOCAL, REMOTE),
    MailDeferred: ("",),
    MailTraced: ("",),
}
"""Each kind of work has one queue, or one for each of its lanes."""


class BusUnavailableError(Exception):
    """The bus cannot promise that it has the events. It may have them all the same."""


class BusClosedError(BusUnavailableError):
    """The bus was closed by us; nothing more goes through it."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What stands in a queue. ``ready`` waits for a consumer, ``taken`` is being worked on.

    ``here`` of those that are taken are with this connection to the bus.
    """

    name: str
    ready: int
    taken: int
    consumers: int
    here: int = 0


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that no consumer could handle, put aside for a person to look at."""

    key: str
    queue: str
    why: str
    event: bytes


class Bus(Protocol):
    """Work queues with competing consumers, and broadcasts."""

    async def publish(self, *events: Work) -> None:
        """Put ``events`` on their queues; return once all are on stable storage.

        They become safe in the order given: one that is lost takes those after it
        along. Raises `BusUnavailableError` when that cannot be had in time; nobody
        knows then how many came through. May be called outside of a task: see
        `kernel.tasks.begin`.
        """

    async def consume(
        self,
        kind: type[W],
        handler: Handler[W],
        *,
        lane: str = "",
        concurrency: int = 64,
        again: Handler[W] | None = None,
    ) -> None:
        """Hand every event of ``kind`` on ``lane`` to ``handler``, until cancelled.

        Up to ``concurrency`` handlers run at a time. An event is done when its
        handler returns. Until then it belongs to this consumer; if the consumer
        dies, another one gets it. What may have been handled before is given to
        ``again`` if there is one. A handler that raises is tried again a little
        later, and its event parked after the third time; but `BusUnavailableError`
        does not count, however often it is raised. On cancellation nothing
        new is taken, and the handlers under way get the bus's grace period to
        end; what then remains is handed back. Reconnects by itself for ever.
        """

    async def consume_together(
        self, kind: type[W], handler: CrowdHandler[W], *, lane: str = "", limit: int = 500
    ) -> None:
        """Hand events of ``kind`` on ``lane`` to ``handler``, up to ``limit`` in a call.

        One call runs at a time; further events gather meanwhile for the next. All of
        its events are done when it returns. If it raises, they are handed to it again
        one by one, so that one bad event takes no other along; one that fails alone
        is tried again alone. The rest is as in `consume`.
        """

    async def broadcast(self, notice: Notice) -> None:
        """Tell all who listen now. Raises `BusUnavailableError` if it cannot be sent."""

    async def listen(self, kind: type[N], listener: Listener[N]) -> None:
        """Call ``listener`` with every broadcast of ``kind``, until cancelled.

        A notice may be missed while the bus is out of reach: hold nothing on the
        strength of silence for longer than a few seconds.
        """

    async def queues(self) -> tuple[QueueState, ...]:
        """Return the state of every queue, the parked one included."""

    async def parked(self, limit: int = 100) -> tuple[Parked, ...]:
        """Return what is parked, oldest first."""

    async def replay(self, key: str) -> bool:
        """Put the parked event of that key back on its queue; whether there was one."""

    async def shortage(self) -> str:
        """Return what is running out, so that no more should be taken in, or an empty string.

        What there is can be worked on. Raises `BusUnavailableError`.
        """

    def trouble(self) -> str:
        """Return why work cannot be published or consumed right now, or an empty string."""


def lane_of(event: Work) -> str:
    """Return the lane on which ``event`` travels."""
    if isinstance(event, MailRouted):
        return REMOTE if isinstance(event.hop, Remote) else LOCAL
    return ""


def queue_of(kind: type[Work], lane: str) -> str:
    """Return the name of a queue: ``MailRouted.remote``."""
    return f"{kind.__name__}.{lane}" if lane else kind.__name__
