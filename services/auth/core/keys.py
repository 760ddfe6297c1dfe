"""API keys: ``prk_<id>_<secret>``. Only the secret's digest is kept.

A secret is 130 random bits, so a plain digest of it is as good as a slow one.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime

SECRET_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # noqa: S105 - what secrets are made of
SECRET_LENGTH = 26
_KEY = re.compile(rf"prk_([0-9a-f]{{16}})_([{SECRET_ALPHABET}]{{{SECRET_LENGTH}}})")
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that opens the API to a program."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    digest: str = field(default="", repr=False)


def spelled(key_id: str, secret: str) -> str:
    """Return the key as its holder shows it."""
    return f"prk_{key_id}_{secret}"


def split(text: str) -> tuple[str, str] | None:
    """Return id and secret of the key that ``text`` spells; ``None`` if it spells none."""
    match = _KEY.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest_of(secret: str) -> str:
    """Return what is stored of ``secret``."""
    return hashlib.blake2b(secret.encode(), digest_size=32).hexdigest()


def opens(key: ApiKey | None, secret: str, now: datetime) -> bool:
    """Whether ``secret`` is that of ``key``, which is still good; takes equal time if not."""
    same = hmac.compare_digest(key.digest if key else _NOBODY, digest_of(secret))
    return same and key is not None and (key.expires_at is None or now < key.expires_at)
