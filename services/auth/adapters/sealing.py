"""Secrets sealed with AES-256-GCM (SP 800-38D), each bound to whose it is."""

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.auth.core.secrets import ChallengeSecrets

_NONCE = 12  # octets; random, so a key is good for 2^32 secrets (§8.3)
_PURPOSE = b"postroom seal"
_NOBODY = ""  # no user has this login: what is not a user's is never taken for one
_KEY = 32  # octets
RETURNS = "postroom srs"
"""The purpose of the key that seals the senders of what we forward (`kernel.srs`)."""


def derived(secret: str, purpose: str) -> bytes:
    """Return the key for ``purpose`` that is made of ``secret`` (RFC 5869): one tells no other."""
    return HKDF(SHA256(), _KEY, salt=None, info=purpose.encode()).derive(secret.encode())


class Seal:
    """Closes and opens with the key that is made of ``secret``."""

    def __init__(self, secret: str) -> None:
        key = hashlib.blake2b(secret.encode(), digest_size=32, person=_PURPOSE).digest()
        self._cipher = AESGCM(key)

    def close(self, secrets: ChallengeSecrets, login: str, name: str = "") -> str:
        """Return ``secrets`` of this login, and of its app password ``name``, sealed."""
        return self._closed(msgspec.msgpack.encode(secrets), login, name)

    def open(self, sealed: str, login: str, name: str = "") -> ChallengeSecrets | None:
        """Return what was sealed; ``None`` if it was not for these, or under another key."""
        plain = self._opened(sealed, login, name)
        try:
            return msgspec.msgpack.decode(plain, type=ChallengeSecrets) if plain else None
        except ValueError:
            return None

    def close_text(self, text: str, *thing: str) -> str:
        """Return ``text`` sealed, which belongs to ``thing``: its kind, and its names."""
        return self._closed(text.encode(), _NOBODY, *thing)

    def open_text(self, sealed: str, *thing: str) -> str | None:
        """Return the text that was sealed; ``None`` if it is another thing's, or another key's."""
        plain = self._opened(sealed, _NOBODY, *thing)
        return None if plain is None else plain.decode()

    def _closed(self, plain: bytes, *owner: str) -> str:
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, plain, _spelled(owner))).decode()

    def _opened(self, sealed: str, *owner: str) -> bytes | None:
        try:
            octets = b64decode(sealed, validate=True)
            return self._cipher.decrypt(octets[:_NONCE], octets[_NONCE:], _spelled(owner))
        except (InvalidTag, ValueError):
            return None


def _spelled(owner: Iterable[str]) -> bytes:
    return "\0".join(owner).encode()
