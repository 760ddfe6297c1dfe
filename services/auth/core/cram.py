"""CRAM-MD5 (RFC 2195): what is kept of a password, and whether a response fits it."""

import hashlib
from hmac import compare_digest

from services.auth.core import md5

_INNER, _OUTER = (bytes(octet ^ pad for octet in range(256)) for pad in (0x36, 0x5C))
_STATE = 16  # octets


def states_of(password: bytes) -> bytes:
    """Return the states of both MD5s of HMAC once they have read the key (RFC 2104 §4)."""
    key = hashlib.md5(password, usedforsecurity=False).digest()
    block = (password if len(password) <= md5.BLOCK else key).ljust(md5.BLOCK, b"\0")
    inner, outer = (md5.compress(md5.START, block.translate(pad)) for pad in (_INNER, _OUTER))
    return inner + outer


def fits(response: bytes, states: bytes, challenge: bytes) -> bool:
    """Whether ``response``, a name and a digest in hexadecimal, is the right one."""
    digest = response.rpartition(b" ")[2].lower()
    inner = md5.finish(states[:_STATE], 1, challenge)
    right = md5.finish(states[_STATE:], 1, inner)
    return compare_digest(digest, right.hex().encode())
