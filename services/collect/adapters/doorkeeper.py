"""The doorkeeper is auth, asked over HTTP."""

from dataclasses import dataclass

from kernel.http import Peer, PeerUnavailableError
from kernel.model.questions import LoginAnswer, LoginQuestion
from services.collect.ports import DoorkeeperUnavailableError


@dataclass(frozen=True, slots=True)
class HttpDoorkeeper:
    """Asks ``POST /internal/login``."""

    peer: Peer

    async def log_in(self, question: LoginQuestion) -> LoginAnswer:
        """See `Doorkeeper.log_in`."""
        try:
            return await self.peer.ask("/internal/login", question, LoginAnswer)
        except PeerUnavailableError as error:
            raise DoorkeeperUnavailableError(str(error)) from error
