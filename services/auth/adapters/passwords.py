"""Passwords under Argon2id (RFC 9106), in a small pool of threads.

A check costs tens of milliseconds of a processor on purpose, so successes are
remembered for a short while, under a keyed hash of stored hash and password: a
changed password finds nothing there.
"""

import asyncio
import hashlib
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError

from services.auth.adapters import hashes
from services.auth.adapters.sealing import Seal
from services.auth.core import app_passwords, cram, scram
from services.auth.core.directory import AppPassword, User
from services.auth.core.secrets import ChallengeSecrets, Secrets
from services.auth.ports import PasswordsBusyError

T = TypeVar("T")

THREADS = 2
MOST_WAITING = 64
REMEMBERED_FOR = 60.0  # seconds
MOST_REMEMBERED = 10_000
SALT = 16  # octets
OURS = "$argon2id$"

# What a password for a user who does not exist is checked against: it takes as long, and fails.
NOBODY = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


class Passwords:
    """Makes what is stored of passwords, and verifies. Close it to end its threads.

    Secrets for CRAM-MD5 and SCRAM are made if there is a ``seal``; unless
    ``seals_main``, of app passwords alone.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        seal: Seal | None = None,
        seals_main: bool = True,
        check: Callable[[str, bytes], bool] = hashes.verify,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._monotonic = monotonic
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._waiting = 0
        self._seal = seal
        self._seals_main = seals_main
        self._fits = check

    async def hash(self, password: str) -> str:
        """Return the hash of ``password``."""
        return await self._in_pool(lambda: self._hasher.hash(_octets(password)))

    async def made_for(self, login: str, password: str, salt: str = "") -> Secrets:
        """Return what to store of the password of the user ``login``.

        ``salt`` is the one that the user has already: app passwords depend on it.
        """
        kept = salt or _new_salt()

        def make() -> Secrets:
            sealed = self._sealed(login, "", password, kept) if self._seals_main else ""
            return Secrets(self._hasher.hash(_octets(password)), kept, sealed)

        return await self._in_pool(make)

    async def app_password(self, login: str, name: str, salt: str = "") -> tuple[str, Secrets]:
        """Return a new app password in full, and what to store of it: its digest is the hash."""
        kept = salt or _new_salt()
        password = app_passwords.generate(secrets.token_bytes(app_passwords.OCTETS))

        def make() -> str:
            return self._sealed(login, name, password, kept)

        sealed = await self._in_pool(make)
        return password, Secrets(app_passwords.digest_of(password), kept, sealed)

    @staticmethod
    def taken_over(text: str, salt: str = "") -> Secrets:
        """Return what to store of a hash that another server made, or raise `BadHashError`.

        The next login with the password makes the rest.
        """
        hashes.scheme_of(text)
        return Secrets(text, salt)

    def are_up_to_date(self, user: User) -> bool:
        """Whether `made_for` would make nothing else of the same password."""
        try:
            if not user.password.startswith(OURS) or self._hasher.check_needs_rehash(user.password):
                return False
        except InvalidHashError:
            return False
        if self._seal is None:
            return True
        return (self.opened(user) is not None) if self._seals_main else not user.sealed

    def opened(self, user: User, app: AppPassword | None = None) -> ChallengeSecrets | None:
        """Return the secrets of a user's password, or of an app password; ``None`` without."""
        if self._seal is None:
            return None
        if app is not None:
            return self._seal.open(app.sealed, user.login, app.name)
        return self._seal.open(user.sealed, user.login) if self._seals_main else None

    def remembers(self, stored: str, password: str) -> bool:
        """Whether it was verified a short while ago that ``stored`` is of ``password``."""
        return self._remembered.get(self._fingerprint(stored, password), 0.0) > self._monotonic()

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one that ``stored`` was made of; ``None`` is nobody's.

        Raises `PasswordsBusyError` when too many wait already.
        """
        if stored is not None and self.remembers(stored, password):
            return True
        correct = await self._in_pool(lambda: self._check(stored, _octets(password)))
        if correct and stored is not None:
            self._remember(self._fingerprint(stored, password))
        return correct

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise PasswordsBusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def _check(self, stored: str | None, password: bytes) -> bool:
        """Verify at the cost of one Argon2id at least, if the password is wrong."""
        if stored is not None and stored.startswith(OURS):
            return self._fits(stored, password)
        if stored is not None and self._fits(stored, password):
            return True
        self._fits(NOBODY, password)
        return False

    def _sealed(self, login: str, name: str, password: str, salt: str) -> str:
        if self._seal is None:
            return ""
        stored_key, server_key = scram.keys_of(password, b64decode(salt))
        kept = ChallengeSecrets(cram.states_of(_octets(password)), stored_key, server_key)
        return self._seal.close(kept, login, name)

    def _remember(self, fingerprint: bytes) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[fingerprint] = self._monotonic() + REMEMBERED_FOR

    def _fingerprint(self, stored: str, password: str) -> bytes:
        octets = f"{stored}\0".encode() + _octets(password)
        return hashlib.blake2b(octets, key=self._key, digest_size=32).digest()


def _new_salt() -> str:
    return b64encode(secrets.token_bytes(SALT)).decode()


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
