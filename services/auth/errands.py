"""Errands: work that no answer waits for, but that is done before we go."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from kernel.tasks import end_all

PATIENCE = 10.0  # seconds that errands get at the end
_log = structlog.get_logger("auth")


class Errands:
    """Runs errands in the background. Close it to wait for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, errand: Coroutine[Any, Any, None], what: str) -> None:
        """Start an errand; if it fails, the log says so."""
        task = asyncio.create_task(errand, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def aclose(self) -> None:
        """Wait until all have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)
            await end_all(self._tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.warning("left undone", errand=task.get_name(), why=repr(error))
