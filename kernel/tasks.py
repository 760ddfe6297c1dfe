"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any


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
