"""Greylist: whom auth has not heard of before is asked to try again later (RFC 6647).

At the end of the data, as all checks: a message that others refuse for good is refused so.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kernel.model.questions import Acquaintance, GreylistQuestion
from kernel.model.reply import Reply
from services.ingress.checks.port import Arrival, CheckUnavailableError
from services.ingress.core.checks import Finding
from services.ingress.ports import DirectoryUnavailableError, Memory

GREYLISTED = Reply(451, "4.7.1", "Greylisted, try again later")
PATIENCE = 10.0  # seconds, as all questions to auth have
_LATER = frozenset({Acquaintance.NEW, Acquaintance.EARLY})


@dataclass(frozen=True, slots=True)
class Greylist:
    """The check."""

    memory: Memory
    delay: timedelta
    limit: float = PATIENCE
    name: str = "greylist"

    def preview(self, arrival: Arrival) -> Coroutine[Any, Any, Finding]:
        """Return what would be found."""
        return self._look(arrival, trial=True)

    async def examine(self, arrival: Arrival) -> Finding:
        """Return whether these have written to one another before."""
        return await self._look(arrival, trial=False)

    async def _look(self, arrival: Arrival, *, trial: bool) -> Finding:
        offer = arrival.offer
        recipients = tuple(recipient.address for recipient in offer.recipients)
        delay = int(self.delay.total_seconds())
        question = GreylistQuestion(offer.client, offer.sender, recipients, delay, trial)
        try:
            acquaintance = (await self.memory.greylist(question)).acquaintance
        except DirectoryUnavailableError as error:
            raise CheckUnavailableError(str(error)) from error
        refusal = GREYLISTED if acquaintance in _LATER else None
        return Finding(self.name, acquaintance, refusal=refusal)
