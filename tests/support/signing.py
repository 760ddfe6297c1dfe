"""Signs messages by DKIM as others do: with dkimpy, and keys made once."""

import base64
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@cache
def rsa_key(bits: int) -> tuple[bytes, str]:
    """Return a private key, and what its owner puts into DNS."""
    key = generate_private_key(65_537, bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def signed(message: bytes, domain: str = "elsewhere.test", *, bits: int = 2048, **how) -> bytes:
    """Return ``message`` with a signature of ``domain`` before it, by its key ``s1``."""
    options = {"canonicalize": (b"relaxed", b"relaxed"), **how}
    field = dkim.sign(message, b"s1", domain.encode(), rsa_key(bits)[0], **options)
    return field + message
