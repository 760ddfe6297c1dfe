"""What auth needs from outside: the records of its directory."""

from collections.abc import Collection, Mapping
from typing import Protocol

from services.auth.core.directory import Entry, Key, User
from services.auth.core.grants import Grant
from services.auth.core.policies import Policies


class DirectoryUnavailableError(Exception):
    """The records cannot be read or written now: whoever asks gets no answer, and asks again."""


class TakenError(Exception):
    """Something else has that name already, or still refers to what should go."""


class PasswordsBusyError(Exception):
    """So many passwords wait to be checked that one more would wait too long."""


class Records(Protocol):
    """Reads the directory. Every method raises `DirectoryUnavailableError`."""

    async def policies(self) -> Policies:
        """Return all server-wide settings."""

    async def entries(self, keys: Collection[Key]) -> Mapping[Key, Entry]:
        """Return the entries that stand under ``keys``; what is not there is left out."""

    async def users(self, logins: Collection[str]) -> Mapping[str, User]:
        """Return the users of these login names; what is not there is left out."""

    async def grants(self, clients: Collection[str]) -> Mapping[str, tuple[Grant, ...]]:
        """Return the grants of these clients that have not ended; who has none is left out."""
