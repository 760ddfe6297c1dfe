"""Memory of the legs that this worker has settled or has in hand: it drops their twins."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from kernel.model.envelope import Recipient
from kernel.model.events import MailRouted, Work

REMEMBERED = 10_000


class Memory:
    """Sees to it that a leg is carried once, as far as one process can tell.

    A leg is dropped only if all its recipients were settled under its id: what
    came apart on its way (a part of it held, or rerouted) is no twin.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._in_hand: dict[str, asyncio.Future[None]] = {}
        self._settled: OrderedDict[str, tuple[Recipient, ...]] = OrderedDict()
        self._unsaid: OrderedDict[str, tuple[Work, ...]] = OrderedDict()

    async def once(self, leg: MailRouted, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` for ``leg`` unless it has been done. Waits for a twin that is at it."""
        name = leg.id
        while name in self._in_hand:
            await asyncio.wait([self._in_hand[name]])
        if self._is_settled(name, leg):
            return
        ended = asyncio.get_running_loop().create_future()
        self._in_hand[name] = ended
        try:
            await work()
        finally:
            del self._in_hand[name]
            ended.set_result(None)

    def settle(self, leg: MailRouted) -> None:
        """Remember that the outcome for every recipient of ``leg`` has been published."""
        name = leg.id
        self._unsaid.pop(name, None)
        before = self._settled.pop(name, ())
        self._settled[name] = (*before, *leg.envelope.recipients)
        if len(self._settled) > self._size:
            self._settled.popitem(last=False)

    def leave_unsaid(self, leg: MailRouted, events: tuple[Work, ...]) -> None:
        """Remember what came of ``leg``, for the bus could not be told."""
        self._unsaid[leg.id] = events
        if len(self._unsaid) > self._size:
            self._unsaid.popitem(last=False)

    def unsaid(self, leg: MailRouted) -> tuple[Work, ...]:
        """Return what came of ``leg`` in an attempt that the bus has not heard of."""
        return self._unsaid.get(leg.id, ()) if self._unsaid else ()

    def _is_settled(self, name: str, leg: MailRouted) -> bool:
        settled = self._settled.get(name)
        return settled is not None and set(leg.envelope.recipients) <= set(settled)
