"""Names as the checks ask them. A name server that does not answer costs time only once."""

import asyncio
from collections.abc import Callable
from typing import Self

import structlog

from kernel.names import NameServers, NamesSilentError, NamesUnavailableError
from kernel.tasks import end_all
from services.ingress.checks import metrics

REST = 30.0
"""Seconds for which nobody is asked after name servers were silent."""
_FOR_THEM, _FOR_US = 0.5, 0.2
"""Which part of the time a question may take, and then the one whether it is our own fault."""

_log = structlog.get_logger("ingress")


class Names:
    """Asks name servers, and notices when they are silent.

    Somebody else's name servers may be silent too; that looks alike at first. So the root is
    asked, which every name server knows: only if that fails are ours to blame, and are left
    alone for a while. Use as a context manager.
    """

    def __init__(self, asked: NameServers, limit: float, clock: Callable[[], float]) -> None:
        self._asked = asked
        self._limit = limit
        self._clock = clock
        self._resting_until = float("-inf")
        self._probe: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_all([self._probe] if self._probe else [])

    @property
    def is_resting(self) -> bool:
        """Whether nobody is asked now, because nobody answered."""
        return self._clock() < self._resting_until

    async def ask(self, name: str, kind: str) -> list[str]:
        """Return the records of a name as text; none if there are none.

        Raises `NamesUnavailableError`.
        """
        if self.is_resting:
            raise NamesUnavailableError("name servers are silent")
        try:
            answer = await self._asked.ask(name, kind, self._limit * _FOR_THEM)
        except NamesSilentError:
            await self._doubt()
            raise
        return list(answer.records)

    async def _doubt(self) -> None:
        """Find out whether it is our name servers that are silent, together with others."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._find_out())
        await asyncio.shield(self._probe)

    async def _find_out(self) -> None:
        try:
            await self._asked.ask(".", "SOA", self._limit * _FOR_US)
        except NamesSilentError as error:
            self._resting_until = self._clock() + REST
            metrics.DNS_SILENT.set(1)
            _log.warning("name servers are silent", why=str(error), seconds=REST)
        except NamesUnavailableError:
            metrics.DNS_SILENT.set(0)  # an answer, of a kind
        else:
            metrics.DNS_SILENT.set(0)
