"""Secrets sealed with AES-256-GCM (SP 800-38D), each bound to whose it is."""

import hashlib
import os
from base64 import b64decode, b64encode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.auth.core.secrets import ChallengeSecrets

_NONCE = 12  # octets; random, so a key is good for 2^32 secrets (§8.3)
_PURPOSE = b"postroom seal"
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
        nonce = os.urandom(_NONCE)
        plain = msgspec.msgpack.encode(secrets)
        return b64encode(nonce + self._cipher.encrypt(nonce, plain, _owner(login, name))).decode()

    def open(self, sealed: str, login: str, name: str = "") -> ChallengeSecrets | None:
        """Return what was sealed; ``None`` if it was not for these, or under another key."""
        try:
            octets = b64decode(sealed, validate=True)
            plain = self._cipher.decrypt(octets[:_NONCE], octets[_NONCE:], _owner(login, name))
            return msgspec.msgpack.decode(plain, type=ChallengeSecrets)
        except (InvalidTag, ValueError):
            return None


def _owner(login: str, name: str) -> bytes:
    return f"{login}\0{name}".encode()
