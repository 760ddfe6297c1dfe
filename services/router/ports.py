"""What the router needs from outside."""

from collections.abc import Iterable
from typing import Protocol

from kernel.model.address import Address
from kernel.model.questions import Whereabouts


class DirectoryUnavailableError(Exception):
    """Nobody can say now where mail for an address goes. Asking later may help."""


class Directory(Protocol):
    """Knows where mail for an address goes."""

    def recall(self, addresses: Iterable[Address]) -> dict[Address, Whereabouts]:
        """Return what is known of ``addresses`` without asking anybody."""

    async def look_up(self, addresses: Iterable[Address]) -> dict[Address, Whereabouts]:
        """Return where mail for each of ``addresses`` goes. Raises `DirectoryUnavailableError`."""
