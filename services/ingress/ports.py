"""What ingress needs from outside, besides the platform."""

from collections.abc import Sequence
from typing import Protocol

from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    GreylistAnswer,
    GreylistQuestion,
    Listener,
    LoginAnswer,
    LoginQuestion,
    RelayAnswer,
    RelayQuestion,
)


class DirectoryUnavailableError(Exception):
    """Nobody can tell right now. That is never a yes and never a no."""


class Directory(Protocol):
    """Knows who may do what."""

    async def decide(self, questions: Sequence[RelayQuestion]) -> Sequence[RelayAnswer]:
        """Return one answer for each question. Raises `DirectoryUnavailableError`.

        Waits for nothing that wants a task of its own, such as `asyncio.timeout`: see `begin`.
        """

    async def admit(self, question: AdmissionQuestion) -> AdmissionAnswer:
        """Judge who wants to connect. Raises `DirectoryUnavailableError`."""

    async def log_in(self, question: LoginQuestion) -> LoginAnswer:
        """Judge a login. Raises `DirectoryUnavailableError`."""

    async def listener(self, name: str) -> Listener:
        """Return the settings of a listener. Raises `DirectoryUnavailableError`."""


class Memory(Protocol):
    """Remembers strangers, for all processes of ingress together."""

    async def greylist(self, question: GreylistQuestion) -> GreylistAnswer:
        """Return whether a message's people are new. Raises `DirectoryUnavailableError`."""
