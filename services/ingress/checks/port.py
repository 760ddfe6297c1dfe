"""What a check is given, and what it gives."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kernel.dkim.arc import BadChainError
from kernel.dkim.canon import Canon
from kernel.dkim.fields import HeaderField
from services.ingress.core.arc import Chain
from services.ingress.core.checks import Finding
from services.ingress.core.dkim import BadSignatureError, Signature
from services.ingress.core.effects import Offer


class CheckUnavailableError(Exception):
    """What the check asks does not answer, or not in a way that can be understood."""


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """What was reckoned while a body came in: its hash, and whether there was more than l=."""

    digest: bytes
    is_partial: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """A complete message of a stranger. ``content`` yields it as it came, whenever asked."""

    offer: Offer
    at: datetime
    fields: tuple[HeaderField, ...]
    signatures: tuple[Signature | BadSignatureError, ...]
    chain: Chain | BadChainError | None
    bodies: Mapping[Canon, BodyFacts]
    size: int
    content: Callable[[], AsyncIterator[bytes]]


class Check(Protocol):
    """One check. Its ``name`` is the one in settings, log and counters."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def limit(self) -> float:
        """How many seconds it may take."""

    def preview(self, arrival: Arrival) -> Coroutine[Any, Any, Finding] | None:
        """Return what can be found out before there is a message, leaving no trace; or None."""

    async def examine(self, arrival: Arrival) -> Finding:
        """Return what there is to say of a message. Raises `CheckUnavailableError`, `OSError`."""
