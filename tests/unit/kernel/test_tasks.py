"""Tasks end when they are told to."""

import asyncio
import contextlib

from kernel.tasks import end_all


async def deaf(times):
    """Lose so many cancellations, as a library may."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def failing():
    raise ValueError


async def test_a_task_that_lost_its_cancellation_ends_all_the_same():
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0)

    await asyncio.wait_for(end_all(tasks, patience=0.01), 10)

    assert all(task.cancelled() for task in tasks)


async def test_what_a_task_ended_with_is_nobodys_concern():
    task = asyncio.create_task(failing())
    await asyncio.sleep(0)

    await end_all([task])

    assert task.done()


async def test_ending_nothing_is_done_at_once():
    await end_all([])
