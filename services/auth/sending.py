"""Sending: what delivery has to know of the directory, gathered in one answer."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.sending import Route, Sending, SigningKey
from services.auth.adapters import audit, dkim_keys, domains, routes
from services.auth.adapters.database import Database
from services.auth.adapters.sealing import Seal
from services.auth.core.dkim import DkimKey
from services.auth.core.routes import StoredRoute

KINDS = ("routes", "domains", "dkim-keys")
"""The resources that it is made of."""
MAX_AGE = 60.0
"""Seconds; by then it is gathered anew whatever was written down, as after a restored back-up."""
_log = structlog.get_logger("auth")


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    at: float
    sending: Sending


class SendingOffice:
    """Answers ``/internal/sending``.

    Every worker asks every few seconds and after each change, and opening thousands of keys takes
    a while: what was gathered is kept as long as no change has been written down. ``names`` are
    domains of ours that are not in the records.
    """

    def __init__(
        self,
        database: Database,
        seal: Seal | None,
        return_key: bytes,
        names: Collection[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seal = seal
        self._return_key = return_key
        self._names = names
        self._monotonic = monotonic
        self._one_by_one = asyncio.Lock()
        self._kept: _Kept | None = None
        self._closed: set[str] = set()

    async def answer(self) -> Sending:
        """Return what stands now: delivery goes by it for a while.

        Raises `DirectoryUnavailableError`.
        """
        async with self._one_by_one, self._database.reading() as db:
            version, now = await audit.newest(db, KINDS), self._monotonic()
            kept = self._kept
            if kept is None or kept.version != version or now - kept.at >= MAX_AGE:
                kept = self._kept = _Kept(version, now, await self._gather(db))
            return kept.sending

    async def _gather(self, db: AsyncConnection) -> Sending:
        ways = await routes.every(db)
        keys = await dkim_keys.active(db)
        ours = await domains.every(db)
        return Sending(
            routes=tuple(map(self._with_password, ways)),
            keys=tuple(self._opened(keys)),
            domains=tuple(sorted({*ours, *self._names})),
            return_key=self._return_key,
        )

    def _with_password(self, stored: StoredRoute) -> Route:
        """Return the route with its password, or with none where it cannot be opened.

        Without the route its mail would go another way; with an empty password the server
        refuses the login, and mail waits until somebody has given the password anew.
        """
        if not stored.sealed:
            return stored.route
        password = routes.opened_password(self._seal, stored)
        self._tell(f"the password of the route {stored.pattern}", is_open=password is not None)
        return replace(stored.route, password=password or "")

    def _opened(self, keys: Collection[DkimKey]) -> Iterator[SigningKey]:
        """Yield the keys that can be opened: mail goes out without the signature of others."""
        for key in keys:
            private = dkim_keys.opened_private(self._seal, key)
            self._tell(f"the DKIM key {key.record_name}", is_open=private is not None)
            if private is not None:
                yield SigningKey(key.domain, key.selector, key.algorithm.value, private)

    def _tell(self, what: str, *, is_open: bool) -> None:
        """Log what cannot be opened, once."""
        if is_open:
            self._closed.discard(what)
        elif what not in self._closed:
            self._closed.add(what)
            _log.error("cannot be opened: the secret key is another one, or missing", what=what)
