"""Batching: many callers ask one thing each; the work is done for all of them at once.

While as many batches are under way as may be, further questions gather and go
together in the next one. So a lone question never waits, and a crowd is cheap.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from kernel.tasks import end_all

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Answers single questions by asking for up to ``limit`` of them at a time.

    ``ask_all`` returns one answer for each question, in order. If it raises,
    everybody in that batch gets the exception. ``weigh`` and ``max_weight`` bound
    a batch by something else than its length, such as octets.
    """

    def __init__(
        self,
        ask_all: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        *,
        limit: int = 64,
        in_flight: int = 2,
        weigh: Callable[[Q], int] = lambda _: 1,
        max_weight: int | None = None,
    ) -> None:
        self._ask_all = ask_all
        self._limit = limit
        self._in_flight = in_flight
        self._weigh = weigh
        self._max_weight = limit if max_weight is None else max_weight
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q, within: float | None = None) -> A:
        """Return the answer to ``question``. Cancelling one asker disturbs no other.

        Raises `TimeoutError` if it takes longer than ``within`` seconds.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, future))
        self._start()
        if within is None:
            return await future
        late = loop.call_later(within, _give_up, future)
        try:
            return await future
        finally:
            late.cancel()

    async def close(self) -> None:
        """Wait until every question that was asked has its answer."""
        while self._running:
            await asyncio.wait(self._running)

    async def cut_off(self) -> None:
        """Cancel what is under way; who asked for it sees a lost connection."""
        await end_all(self._running)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._in_flight:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._ended)
            if len(self._waiting) <= self._limit:
                return

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _run(self) -> None:
        batch = self._take()
        if not batch:
            return
        try:
            answers = await self._ask_all([question for question, _ in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers to {len(batch)} questions")  # noqa: TRY301
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_for_askers(error))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _take(self) -> list[tuple[Q, "asyncio.Future[A]"]]:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        weight = 0
        while self._waiting and len(batch) < self._limit:
            if self._waiting[0][1].done():  # its asker has given up
                self._waiting.popleft()
                continue
            weight += self._weigh(self._waiting[0][0])
            if batch and weight > self._max_weight:
                break
            batch.append(self._waiting.popleft())
        return batch


def _give_up(future: "asyncio.Future[A]") -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _for_askers(error: BaseException) -> BaseException:
    """Return what askers see: a batch cut off by our own end looks like a lost connection."""
    return ConnectionAbortedError() if isinstance(error, asyncio.CancelledError) else error
