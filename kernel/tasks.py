"""Beginning tasks only where there is something to wait for, and ending them for certain."""

import asyncio
from collections.abc import Coroutine, Generator, Iterable
from types import coroutine
from typing import Any


def begin(job: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Do ``job`` up to where it waits, and return the task that does the rest; None if it is done.

    What ends without waiting costs no task and no turn of the loop. Up to its first wait ``job``
    is in no task of its own: that is too early for `asyncio.timeout`, which wants one.
    """
    try:
        awaited = job.send(None)
    except StopIteration:
        return None
    return asyncio.create_task(_rest(job, awaited))


async def _rest(job: Coroutine[Any, Any, None], awaited: object) -> None:
    """Go on with ``job``, which waits for ``awaited``, as ``await`` would."""
    while True:
        try:
            try:
                answer = await _hand_over(awaited)
            except BaseException as error:  # noqa: BLE001 - a failure or a cancellation is the job's
                awaited = job.throw(error)
            else:
                awaited = job.send(answer)
        except StopIteration:
            return


@coroutine
def _hand_over(awaited: object) -> Generator[object, object, object]:
    """Let the loop know what is waited for."""
    return (yield awaited)


async def end_all(tasks: Iterable["asyncio.Task[Any]"], *, patience: float = 10.0) -> None:
    """Cancel ``tasks`` and wait until they have ended, whatever they end with.

    A cancellation can get lost: ``asyncio.wait_for`` of Python 3.11, which libraries use,
    swallows one that comes in the moment its answer does. So who has not ended after
    ``patience`` seconds is cancelled again.
    """
    everyone = tuple(tasks)
    left = set(everyone)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=patience)
    await asyncio.gather(*everyone, return_exceptions=True)
