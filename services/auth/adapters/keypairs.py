"""Key pairs for DKIM: made here, or brought along in PEM."""

from base64 import b64encode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from services.auth.core.dkim import Algorithm, KeyPair

ED25519_BITS = 256
FEWEST_BITS, MOST_BITS = 1024, 4096  # what verifiers must be able to check (RFC 8301 §3.2)
_EXPONENT = 65_537


class BadKeyError(ValueError):
    """The text is no private key that DKIM can use."""


def make(algorithm: Algorithm, bits: int) -> KeyPair:
    """Return a new pair; ``bits`` are RSA's. It takes a processor a tenth of a second and more."""
    if algorithm is Algorithm.ED25519:
        return _ed25519(Ed25519PrivateKey.generate())
    return _rsa(generate_private_key(_EXPONENT, bits))


def read(pem: str) -> KeyPair:
    """Return the pair of a private key in PEM, or raise `BadKeyError`."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise BadKeyError("the key has a passphrase: take it off") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadKeyError("this is no private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey):
        return _ed25519(key)
    if not isinstance(key, RSAPrivateKey):
        raise BadKeyError("DKIM signs with RSA and Ed25519 alone")
    if not FEWEST_BITS <= key.key_size <= MOST_BITS:
        raise BadKeyError(f"an RSA key has {FEWEST_BITS} to {MOST_BITS} bits")
    return _rsa(key)


def _rsa(key: RSAPrivateKey) -> KeyPair:
    """Return the pair; ``p=`` is the whole SubjectPublicKeyInfo, as everybody has it."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(Algorithm.RSA, key.key_size, b64encode(public).decode(), _pem(key))


def _ed25519(key: Ed25519PrivateKey) -> KeyPair:
    """Return the pair; ``p=`` is the bare key (RFC 8463 §4.2)."""
    public = key.public_key().public_bytes_raw()
    return KeyPair(Algorithm.ED25519, ED25519_BITS, b64encode(public).decode(), _pem(key))


def _pem(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
