"""App passwords: made by us alone, long enough that a plain digest keeps them.

``pra_<id>_<secret>``, both in base32; the id tells which of a user's it is.
"""

import hashlib
from base64 import b32encode
from collections.abc import Iterable
from hmac import compare_digest

from services.auth.core.directory import AppPassword, Purpose

OCTETS = 21  # 5 for the id, 16 for the secret
PREFIX = "pra_"
PURPOSES = {"smtp": Purpose.SEND, "pop3": Purpose.COLLECT, "imap": Purpose.COLLECT}
"""What opens a service; the API is opened by none."""
_ID = 5


def generate(random: bytes) -> str:
    """Return the app password of these `OCTETS`, which nobody can guess."""
    return f"{PREFIX}{_base32(random[:_ID])}_{_base32(random[_ID:])}"


def digest_of(password: str) -> str:
    """Return what is stored of an app password: its id, and a digest."""
    octets = password.encode("utf-8", "surrogatepass")
    return f"{_id_of(password)}:{hashlib.blake2b(octets, digest_size=32).hexdigest()}"


def fitting(theirs: Iterable[AppPassword], service: str) -> tuple[AppPassword, ...]:
    """Return those that open ``service``."""
    return tuple(one for one in theirs if PURPOSES.get(service) in one.purposes)


def shown(theirs: Iterable[AppPassword], password: str) -> AppPassword | None:
    """Return the one that ``password`` is."""
    if not password.startswith(PREFIX):
        return None
    digest = digest_of(password).encode()
    found = [one for one in theirs if compare_digest(one.digest.encode(), digest)]
    return found[0] if found else None


def _id_of(password: str) -> str:
    return password.removeprefix(PREFIX).partition("_")[0]


def _base32(octets: bytes) -> str:
    return b32encode(octets).decode().rstrip("=").lower()
