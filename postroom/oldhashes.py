"""What other servers keep of a password: which of it can be taken over, and as what.

The server decides in the end; this list is for telling people before anything is written.
"""

import re
from base64 import b64decode

from postroom.client import Item

_CLEAR = {"PLAIN", "CLEAR", "CLEARTEXT"}
_DIGESTS = {"MD5", "LDAP-MD5", "PLAIN-MD5", "SHA", "SHA1", "SHA256", "SHA512"}
_SALTED = {"SMD5", "SSHA", "SSHA256", "SSHA512"}
_CRYPTED = {"CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT"}
_SLOW = {"PBKDF2", "ARGON2I", "ARGON2ID"}
SCHEMES = _CLEAR | _DIGESTS | _SALTED | _CRYPTED | _SLOW
"""Those of Dovecot that a login can be checked against."""

CRYPTS = ("$1$", "$5$", "$6$", "$2a$", "$2b$", "$2y$", "$argon2i$", "$argon2id$")
"""How a hash without a scheme begins."""

_SPELLED = re.compile(r"\{(?P<scheme>[^}.]*)(?:\.(?P<code>[^}]*))?\}(?P<kept>.*)", re.DOTALL)
_LOCKED = ("!", "*")


class NoSecretError(ValueError):
    """Nobody can log in with this, and nobody is meant to."""


def secret_of(kept: str) -> Item:
    """Return what the API is told: ``password_hash``, or ``password`` if it stands there in clear.

    Raises `NoSecretError` for a locked account, and ``ValueError`` for what cannot be taken over.
    """
    spelled = _SPELLED.fullmatch(kept)
    scheme, code, rest = spelled.group("scheme", "code", "kept") if spelled else ("", "", kept)
    if not rest:
        raise NoSecretError("has no password")
    if rest.startswith(_LOCKED):
        raise NoSecretError("is locked")
    if not spelled or scheme.upper() == "CRYPT":
        _expect_crypt(rest)
        return {"password_hash": kept}
    if scheme.upper() not in SCHEMES:
        raise ValueError(f"the scheme {{{scheme}}} is not known here")
    if scheme.upper() in _CLEAR:
        return {"password": _decoded(rest, code or "")}
    return {"password_hash": kept}


def looks_hashed(password: str) -> bool:
    """Whether what is said to be a password in clear is none."""
    spelled = _SPELLED.fullmatch(password)
    return password.startswith(CRYPTS) or bool(spelled and spelled["scheme"].upper() in SCHEMES)


def _expect_crypt(kept: str) -> None:
    if kept == "x":
        raise NoSecretError("has the password in another file, such as /etc/shadow")
    if not kept.startswith("$"):
        raise ValueError("the hash has no scheme that is known here: name it, as in {SSHA}")
    if not kept.startswith(CRYPTS):
        raise ValueError(f"hashes that begin with ${kept.split('$')[1]}$ are not known here")


def _decoded(kept: str, code: str) -> str:
    match code.lower():
        case "":
            return kept
        case "b64" | "base64":
            return b64decode(kept, validate=True).decode()
        case "hex":
            return bytes.fromhex(kept).decode()
    raise ValueError(f"{code} is no way to write a password")
