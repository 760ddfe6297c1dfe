"""Hashes that other servers made: verified as they are, made no more.

They are spelt as Dovecot does, ``{SCHEME}`` or ``{SCHEME.b64}`` before what it says of the
password, or as in a shadow file, without one.
"""

import hashlib
import re
from base64 import b64decode
from binascii import unhexlify
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from passlib.handlers.md5_crypt import apr_md5_crypt, md5_crypt
from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt
from passlib.utils.handlers import GenericHandler

LONGEST = 255  # characters, as in the table
MOST_MEMORY = 262_144  # KiB, of Argon2
MOST_WORK = 4 * MOST_MEMORY  # KiB times passes: about a second
MOST_LANES = 16  # of Argon2: each is a thread
MOST_ROUNDS = 1_000_000  # of SHA-crypt and PBKDF2: half a second
MOST_DOUBLINGS = 14  # of bcrypt: about a second
_BCRYPT_READS = 72  # octets; what comes after has never mattered
_SPELLING = re.compile(r"\{(?P<name>[A-Za-z0-9-]+)(?:\.(?P<code>b64|base64|hex))?\}", re.IGNORECASE)
_SHA_ROUNDS = re.compile(r"\$[56]\$rounds=(\d+)\$")
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_PBKDF2 = re.compile(r"\$1\$([^$]*)\$(\d{1,9})\$([0-9a-f]{40})")
_ARGON2_TEXT = re.compile(
    r"\$argon2(?:id|i|d)(?:\$v=\d{1,2})?\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,3})"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_argon2 = PasswordHasher()


class BadHashError(ValueError):
    """The text is no hash that we can verify, or one that costs too much. Says why."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """``check`` raises `ValueError` for what ``verify`` could not work with."""

    check: Callable[[bytes], None]
    verify: Callable[[bytes, bytes], bool]
    code: str = ""  # in which it is kept, unless the spelling says otherwise


def scheme_of(text: str) -> str:
    """Return the name of the scheme that ``text`` was made by, or raise `BadHashError`."""
    if len(text) > LONGEST:
        raise BadHashError(f"a hash has {LONGEST} characters at most")
    name, kept = _read(text)
    try:
        SCHEMES[name].check(kept)
    except ValueError as error:
        raise BadHashError(f"this is no hash of {name} that can be verified: {error}") from None
    return name


def verify(text: str, password: bytes) -> bool:
    """Whether ``text`` was made of ``password``; nothing was, if it is no hash of ours."""
    try:
        name, kept = _read(text)
        return SCHEMES[name].verify(kept, password)
    except ValueError:
        return False


def _read(text: str) -> tuple[str, bytes]:
    """Return the scheme's name and what was kept of the password."""
    spelling = _SPELLING.match(text)
    if spelling is None:
        if text.startswith("$"):
            return "CRYPT", text.encode()
        raise BadHashError("write the scheme before it, as in {SSHA}")
    name = spelling["name"].upper()
    if name == "MD5":  # Dovecot's is the crypt, LDAP's (RFC 2307) the digest
        name = "MD5-CRYPT" if text.startswith("$1$", spelling.end()) else "LDAP-MD5"
    if name not in SCHEMES:
        raise BadHashError(f"the scheme {name} is not known here")
    kept = text[spelling.end() :]
    code = (spelling["code"] or SCHEMES[name].code).lower()
    try:
        return name, _decoded(kept, code)
    except ValueError as error:
        raise BadHashError(f"what follows {spelling[0]} is not {code}: {error}") from None


def _decoded(kept: str, code: str) -> bytes:
    if code == "hex":
        return unhexlify(kept)
    if code:
        padding = "=" * (-len(kept) % 4)
        return b64decode(kept + padding, validate=True)
    return kept.encode()


def _digest(name: str, *, salted: bool = False, code: str = "b64") -> Scheme:
    """Return the scheme that keeps a digest of the password, and the salt after it."""
    size = hashlib.new(name, usedforsecurity=False).digest_size

    def check(kept: bytes) -> None:
        if not (len(kept) > size if salted else len(kept) == size):
            raise ValueError(f"it has {len(kept)} octets")

    def verify(kept: bytes, password: bytes) -> bool:
        check(kept)
        digest = hashlib.new(name, password + kept[size:], usedforsecurity=False).digest()
        return compare_digest(digest, kept[:size])

    return Scheme(check, verify, code)


def _check_of(handler: type[GenericHandler], kept: bytes) -> None:
    """Check what a handler of libpass is to verify."""
    rounds = _SHA_ROUNDS.match(kept.decode("ascii"))
    if rounds and int(rounds[1]) > MOST_ROUNDS:
        raise ValueError(f"{rounds[1]} rounds are too many")
    if not handler.from_string(kept.decode("ascii")).checksum:
        raise ValueError("it is not complete")


def _verify_of(handler: type[GenericHandler], kept: bytes, password: bytes) -> bool:
    return bool(handler.verify(password, kept.decode("ascii")))


def _check_bcrypt(kept: bytes) -> None:
    found = _BCRYPT.fullmatch(kept.decode("ascii"))
    if found is None:
        raise ValueError("it is not one of bcrypt")
    if int(found[1]) > MOST_DOUBLINGS:
        raise ValueError(f"a cost of {found[1]} is too high")
    bcrypt.checkpw(b"", b"$2b$04$" + kept[7:])


def _verify_bcrypt(kept: bytes, password: bytes) -> bool:
    return b"\0" not in password and bcrypt.checkpw(password[:_BCRYPT_READS], kept)


def _check_argon2(kept: bytes) -> None:
    found = _ARGON2_TEXT.fullmatch(kept.decode("ascii"))
    if found is None:
        raise ValueError("it is not one of Argon2")
    memory, passes, lanes = map(int, found.groups())
    if memory > MOST_MEMORY or memory * passes > MOST_WORK or lanes > MOST_LANES:
        raise ValueError("it costs too much memory or time")


def _verify_argon2(kept: bytes, password: bytes) -> bool:
    try:
        return _argon2.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


def _read_pbkdf2(kept: bytes) -> tuple[bytes, int, bytes]:
    found = _PBKDF2.fullmatch(kept.decode("ascii"))
    if found is None:
        raise ValueError("it is not $1$salt$rounds$digest")
    if not 0 < int(found[2]) <= MOST_ROUNDS:
        raise ValueError(f"{found[2]} rounds are too many or too few")
    return found[1].encode(), int(found[2]), unhexlify(found[3])


def _check_pbkdf2(kept: bytes) -> None:
    _read_pbkdf2(kept)


def _verify_pbkdf2(kept: bytes, password: bytes) -> bool:
    salt, rounds, digest = _read_pbkdf2(kept)
    return compare_digest(hashlib.pbkdf2_hmac("sha1", password, salt, rounds), digest)


def _check_text(kept: bytes) -> None:
    if not kept:
        raise ValueError("it is empty")


def _crypt_of(kept: bytes) -> Scheme:
    for prefix, scheme in _CRYPTS.items():
        if kept.startswith(prefix):
            return scheme
    raise ValueError("this kind of crypt is not known here")


def _check_crypt(kept: bytes) -> None:
    _crypt_of(kept).check(kept)


def _verify_any_crypt(kept: bytes, password: bytes) -> bool:
    return _crypt_of(kept).verify(kept, password)


_MD5_CRYPT = Scheme(partial(_check_of, md5_crypt), partial(_verify_of, md5_crypt))
_APR_CRYPT = Scheme(partial(_check_of, apr_md5_crypt), partial(_verify_of, apr_md5_crypt))
_SHA256_CRYPT = Scheme(partial(_check_of, sha256_crypt), partial(_verify_of, sha256_crypt))
_SHA512_CRYPT = Scheme(partial(_check_of, sha512_crypt), partial(_verify_of, sha512_crypt))
_BLF_CRYPT = Scheme(_check_bcrypt, _verify_bcrypt)
_ARGON2 = Scheme(_check_argon2, _verify_argon2)
_CRYPTS: Mapping[bytes, Scheme] = {
    b"$1$": _MD5_CRYPT,
    b"$apr1$": _APR_CRYPT,  # htpasswd's
    b"$5$": _SHA256_CRYPT,
    b"$6$": _SHA512_CRYPT,
    b"$2": _BLF_CRYPT,
    b"$argon2": _ARGON2,
}
_CLEAR = Scheme(_check_text, compare_digest)
SCHEMES: Mapping[str, Scheme] = {
    "CRYPT": Scheme(_check_crypt, _verify_any_crypt),
    "MD5-CRYPT": _MD5_CRYPT,
    "SHA256-CRYPT": _SHA256_CRYPT,
    "SHA512-CRYPT": _SHA512_CRYPT,
    "BLF-CRYPT": _BLF_CRYPT,
    "ARGON2I": _ARGON2,
    "ARGON2ID": _ARGON2,
    "PBKDF2": Scheme(_check_pbkdf2, _verify_pbkdf2),
    "SHA": _digest("sha1"),
    "SHA1": _digest("sha1"),
    "SHA256": _digest("sha256"),
    "SHA512": _digest("sha512"),
    "SSHA": _digest("sha1", salted=True),
    "SSHA256": _digest("sha256", salted=True),
    "SSHA512": _digest("sha512", salted=True),
    "LDAP-MD5": _digest("md5"),
    "PLAIN-MD5": _digest("md5", code="hex"),
    "SMD5": _digest("md5", salted=True),
    "PLAIN": _CLEAR,
    "CLEAR": _CLEAR,
    "CLEARTEXT": _CLEAR,
}
"""By name, as Dovecot has them."""
