"""Tasks begin where there is something to wait for, and end when they are told to."""

import asyncio
import contextlib

import pytest

from kernel.tasks import begin, end_all


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


def begin_outside_of_any_task(job):
    """Return a future of what `begin` returns to a callback of the loop."""
    began = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: began.set_result(begin(job)))
    return began


async def test_what_waits_for_nothing_is_done_at_once():
    done = []

    async def job():
        done.append(1)

    assert begin(job()) is None
    assert done == [1]


async def test_what_has_to_wait_goes_on_in_a_task():
    let_go = asyncio.get_running_loop().create_future()
    heard = []

    async def job():
        heard.append(await let_go)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            heard.append(await asyncio.sleep(0, "later"))

    task = await begin_outside_of_any_task(job())
    let_go.set_result("first")
    await asyncio.wait_for(task, 10)

    assert heard == ["first", "later"]


async def test_a_job_hears_of_the_failure_that_it_waits_for():
    broken = asyncio.get_running_loop().create_future()

    async def job():
        with pytest.raises(ValueError, match="no good"):
            await broken
        raise KeyError

    task = await begin_outside_of_any_task(job())
    broken.set_exception(ValueError("no good"))

    with pytest.raises(KeyError):
        await asyncio.wait_for(task, 10)


async def test_a_job_that_fails_at_once_says_so():
    async def job():
        raise KeyError("no good")

    with pytest.raises(KeyError, match="no good"):
        begin(job())


async def test_a_job_that_has_begun_can_be_cancelled():
    ended = []

    async def job():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = begin(job())
    await asyncio.sleep(0)
    await end_all([task])

    assert task.cancelled()
    assert ended == [True]
