"""Handling: one consumer's way with its events, the same over every bus.

Here, and nowhere else, any exception of a handler is caught: it is written to the
log, counted, and turned into the reason for which the adapter tries again or parks.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Generic, Self, TypeVar

import structlog

from kernel import metrics, wire
from kernel.bus.port import (
    BusClosedError,
    BusUnavailableError,
    CrowdHandler,
    Handler,
    Listener,
)
from kernel.model.events import (
    Event,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Notice,
    Work,
)
from kernel.tasks import end_all

W = TypeVar("W", bound=Work)
N = TypeVar("N", bound=Notice)

MAX_FAILURES = 3
"""An event that failed so often is parked."""
OUTAGE_PAUSE = 1.0
"""Seconds after which a handler is called again that could not publish."""

_log = structlog.get_logger("bus")


class Handling(Generic[W]):
    """Calls the handler of one consumer, and tells how it went.

    Up to ``concurrency`` calls may run at a time, each with up to ``limit`` events.
    """

    def __init__(
        self,
        kind: type[W],
        handler: CrowdHandler[W],
        again: CrowdHandler[W],
        *,
        concurrency: int,
        limit: int,
    ) -> None:
        self._kind = kind
        self._handler = handler
        self._again = again
        self.concurrency = concurrency
        self.limit = limit
        self._done = metrics.EVENTS_HANDLED.labels(kind.__name__, "done")
        self._failed = metrics.EVENTS_HANDLED.labels(kind.__name__, "failed")
        self._parked = metrics.EVENTS_PARKED.labels(kind.__name__)

    @classmethod
    def single(
        cls, kind: type[W], handler: Handler[W], again: Handler[W] | None, concurrency: int
    ) -> Self:
        """Return what `Bus.consume` asks for."""
        first, later = handler, again or handler
        return cls(
            kind,
            lambda events: first(events[0]),
            lambda events: later(events[0]),
            concurrency=concurrency,
            limit=1,
        )

    @classmethod
    def together(cls, kind: type[W], handler: CrowdHandler[W], limit: int) -> Self:
        """Return what `Bus.consume_together` asks for."""
        return cls(kind, handler, handler, concurrency=1, limit=limit)

    def read(self, data: bytes) -> W:
        """Return the event that ``data`` holds, or raise `wire.UnreadableEventError`."""
        event = wire.decode(data)
        if not isinstance(event, self._kind):
            raise wire.UnreadableEventError(f"not a {self._kind.__name__}")
        return event

    async def attempt(self, events: Sequence[W], *, again: bool) -> str:
        """Handle ``events`` in one call; return why that failed, or an empty string."""
        try:
            await self._call(events, again=again)
        except Exception as error:  # noqa: BLE001 - whatever it is, the bus goes on
            self._note_failure(events)
            return f"{type(error).__name__}: {error}"
        self._done.inc(len(events))
        return ""

    async def _call(self, events: Sequence[W], *, again: bool) -> None:
        """Call the handler until it could say what it had to: an outage is no event's fault.

        Counted as a failure, a few of them would park good mail.
        """
        while True:
            try:
                return await (self._again if again else self._handler)(events)
            except BusClosedError:
                raise
            except BusUnavailableError as error:
                kind = self._kind.__name__
                _log.warning("handler waits for the bus", kind=kind, why=str(error))
            again = True
            await asyncio.sleep(OUTAGE_PAUSE)

    def _note_failure(self, events: Sequence[W]) -> None:
        """Write down that a call failed; of several events nobody knows yet which is to blame."""
        kind = self._kind.__name__
        if len(events) > 1:
            _log.exception("handler failed", kind=kind, events=len(events))
            return
        (event,) = events
        _log.exception("handler failed", id=event.id, kind=kind, mail=mail_of(event))
        self._failed.inc()

    def parked(self, why: str, key: object) -> None:
        """Write down that an event was put aside."""
        _log.error("event parked", kind=self._kind.__name__, why=why, key=str(key))
        self._parked.inc()


async def call_listener(listener: Listener[N], notice: N) -> None:
    """Tell one listener; its failure concerns nobody else."""
    try:
        await listener(notice)
    except Exception:  # noqa: BLE001 - whatever it is, the bus goes on
        _log.exception("listener failed", kind=type(notice).__name__)


def retry_delay(failures: int) -> float:
    """Return after how many seconds an event that failed so often is tried again."""
    return 1.0 if failures <= 1 else 5.0


def mail_of(event: Event) -> str:
    """Return the id of the mail that ``event`` is about."""
    match event:
        case MailAccepted() | MailRouted():
            return event.envelope.id
        case MailDeferred():
            return event.leg.envelope.id
        case MailTraced():
            return event.mail
        case _:
            return ""


async def wind_down(tasks: AbstractSet[asyncio.Task[None]], grace: timedelta) -> None:
    """Wait until ``tasks`` have ended, and cancel those that still run after ``grace``."""
    try:
        if tasks and grace:
            await asyncio.wait(tuple(tasks), timeout=grace.total_seconds())
    finally:
        await end_all(tasks)
