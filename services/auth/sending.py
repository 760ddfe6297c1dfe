"""Sending: what delivery has to know of the directory, gathered in one answer."""

from kernel.model.sending import Sending
from services.auth.directory import Directory


class SendingOffice:
    """Answers ``/internal/sending``."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def answer(self) -> Sending:
        """Return what stands now: delivery goes by it for a while.

        Raises `DirectoryUnavailableError`.
        """
        policies = await self._directory.policies(max_age=0)
        return Sending(
            domains=tuple(sorted(policies.domains)),
            return_key=policies.return_key,
        )
