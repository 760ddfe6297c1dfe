"""Entrance: what all connections of one listener share."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from kernel.tls import Certificates
from services.ingress.core.doorway import Doorway
from services.ingress.core.selftest import calm
from services.ingress.crowd import Crowd
from services.ingress.intake import Intake
from services.ingress.limits import Budget, Handshakes, Limits
from services.ingress.ports import Directory
from services.ingress.selftest import OnTrial


@dataclass(frozen=True, slots=True)
class Entrance:
    """What all connections of one listener share. ``doorway`` is None while nobody may come in.

    Who comes from one of ``callers`` is our own self-test: nobody counts it, or logs it.
    """

    name: str
    doorway: Callable[[], Doorway | None]
    directory: Directory
    intake: Intake
    crowd: Crowd
    certificates: Certificates
    limits: Limits
    budget: Budget
    handshakes: Handshakes
    callers: Collection[tuple[str, int]] = frozenset()
    is_trial: bool = False

    def on_trial(self) -> "Entrance":
        """Return this entrance as our self-test takes it."""
        doorway = self.doorway()
        calmed = None if doorway is None else calm(doorway)
        directory = OnTrial(self.directory)
        return replace(self, doorway=lambda: calmed, directory=directory, is_trial=True)
