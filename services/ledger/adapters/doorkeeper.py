"""Asks auth whether a login may look into the ledger, and remembers a yes for a few seconds."""

import hashlib
import secrets
from collections.abc import Callable

from kernel.http import Peer
from kernel.model.questions import LoginAnswer, LoginQuestion

REMEMBER = 5.0  # seconds
MAX_REMEMBERED = 1000


class Doorkeeper:
    """Knows administrators. ``now`` is any clock that only goes forward, in seconds."""

    def __init__(self, auth: Peer, now: Callable[[], float]) -> None:
        self._auth = auth
        self._now = now
        self._salt = secrets.token_bytes(16)
        self._granted: dict[bytes, tuple[float, LoginAnswer]] = {}

    async def ask(self, client: str, login: str, password: str) -> LoginAnswer:
        """Return what auth says of a login. Raises `PeerUnavailableError`."""
        key = self._key(client, login, password)
        until, answer = self._granted.get(key, (0.0, None))
        if answer is not None and self._now() < until:
            return answer
        question = LoginQuestion("api", "", client, "BASIC", login, password)
        answer = await self._auth.ask("/internal/login", question, LoginAnswer)
        if answer.administrator:
            if len(self._granted) >= MAX_REMEMBERED:
                self._granted.clear()
            self._granted[key] = (self._now() + REMEMBER, answer)
        return answer

    def _key(self, *parts: str) -> bytes:
        """Return what a password is remembered by, without keeping it."""
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._salt).digest()
