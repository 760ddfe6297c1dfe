"""Keys: finds and makes the API keys that programs show, and remembers them for a short while."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from kernel.clock import Clock
from kernel.model.events import DirectoryChanged
from services.auth.adapters import api_keys
from services.auth.adapters.database import Database
from services.auth.core import keys
from services.auth.core.keys import ApiKey
from services.auth.directory import Shelf

KIND = "api-keys"


class Keys:
    """Says whose key it is."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._shelf = Shelf[str, ApiKey](self._look_up, monotonic)

    async def holder(self, shown: str) -> ApiKey | None:
        """Return the key that is ``shown``, if it is good. Raises `DirectoryUnavailableError`."""
        parts = keys.split(shown)
        if parts is None:
            return None
        key_id, secret = parts
        key = (await self._shelf.get((key_id,)))[key_id]
        return key if keys.opens(key, secret, self._clock()) else None

    def make(
        self, name: str, scopes: Collection[str], expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """Return a new key, and how its holder shows it."""
        key_id = secrets.token_hex(8)
        secret = "".join(secrets.choice(keys.SECRET_ALPHABET) for _ in range(keys.SECRET_LENGTH))
        made = ApiKey(
            key_id, name, frozenset(scopes), self._clock(), expires_at, keys.digest_of(secret)
        )
        return made, keys.spelled(key_id, secret)

    def drop(self, notice: DirectoryChanged) -> None:
        """Forget what ``notice`` is about."""
        if notice.kind == KIND:
            self._shelf.drop(notice.key or None)

    async def _look_up(self, ids: Collection[str]) -> Mapping[str, ApiKey]:
        async with self._database.reading() as db:
            return {key.id: key for key in await api_keys.find(db, ids)}
