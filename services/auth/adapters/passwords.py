"""Passwords under Argon2id (RFC 9106), in a small pool of threads.

A check costs tens of milliseconds of a processor on purpose, so successes are
remembered for a short while, under a keyed hash of stored hash and password: a
changed password finds nothing there.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from services.auth.ports import PasswordsBusyError

T = TypeVar("T")

THREADS = 2
MOST_WAITING = 64
REMEMBERED_FOR = 60.0  # seconds
MOST_REMEMBERED = 10_000

# What a password for a user who does not exist is checked against: it takes as long, and fails.
NOBODY = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


class Passwords:
    """Hashes and verifies. Close it to end its threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._monotonic = monotonic
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return what to store for ``password``."""
        return await self._in_pool(lambda: self._hasher.hash(_octets(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one that ``stored`` was made of; ``None`` is nobody's.

        Raises `PasswordsBusyError` when too many wait already.
        """
        fingerprint = self._fingerprint(stored, password)
        if self._remembered.get(fingerprint, 0.0) > self._monotonic():
            return True
        correct = await self._in_pool(lambda: self._check(stored or NOBODY, password))
        if correct and stored is not None:
            self._remember(fingerprint)
        return correct and stored is not None

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

    def _check(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _octets(password))
        except (Argon2Error, InvalidHashError):
            return False

    def _remember(self, fingerprint: bytes) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[fingerprint] = self._monotonic() + REMEMBERED_FOR

    def _fingerprint(self, stored: str | None, password: str) -> bytes:
        octets = f"{stored or ''}\0".encode() + _octets(password)
        return hashlib.blake2b(octets, key=self._key, digest_size=32).digest()


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
