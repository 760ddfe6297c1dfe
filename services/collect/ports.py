"""What collect needs from outside, besides the platform."""

from typing import Protocol

from kernel.model.questions import LoginAnswer, LoginQuestion


class DoorkeeperUnavailableError(Exception):
    """Nobody can tell right now. That is never a yes and never a no."""


class Doorkeeper(Protocol):
    """Knows who is who."""

    async def log_in(self, question: LoginQuestion) -> LoginAnswer:
        """Judge a login. Raises `DoorkeeperUnavailableError`."""
