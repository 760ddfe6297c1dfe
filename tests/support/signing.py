"""Signs messages by DKIM as others do: with dkimpy, and keys made once."""

import base64
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from dkim.util import parse_tag_value

from kernel.model.envelope import Body
from kernel.model.sending import SigningKey
from services.ingress.core.effects import Offer

OFFER = Offer(
    id="id",
    listener="mx",
    client="192.0.2.1",
    helo="x",
    protocol="ESMTP",
    tls=None,
    sender=None,
    recipients=(),
    rules=(),
    submitter="",
    body=Body.SEVEN_BIT,
    smtputf8=False,
    ret="",
    envid="",
)
"""A message whose sender does not matter."""


def _new_rsa_key(bits: int):
    return generate_private_key(65_537, bits)


@cache
def rsa_key(bits: int) -> tuple[bytes, str]:
    """Return a private key, and what its owner puts into DNS."""
    key = _new_rsa_key(bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def signed(message: bytes, domain: str = "elsewhere.test", *, bits: int = 2048, **how) -> bytes:
    """Return ``message`` with a signature of ``domain`` before it, by its key ``s1``."""
    options = {"canonicalize": (b"relaxed", b"relaxed"), **how}
    field = dkim.sign(message, b"s1", domain.encode(), rsa_key(bits)[0], **options)
    return field + message


@cache
def signing_key(algorithm: str, domain: str = "ours.test", selector: str = "") -> SigningKey:
    """Return a key such as auth tells delivery of."""
    new = Ed25519PrivateKey.generate() if algorithm == "ed25519" else _new_rsa_key(2048)
    pem = new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return SigningKey(domain, selector or algorithm, algorithm, pem)


def published(*keys: SigningKey) -> dict[str, str]:
    """Return what stands in DNS of ``keys``: names and TXT records."""
    return {f"{key.selector}._domainkey.{key.domain}": _record(key) for key in keys}


def dns_of(*keys: SigningKey):
    """Return what dkimpy asks instead of DNS."""
    records = published(*keys)
    return lambda name, **_: records.get(name.decode().removesuffix("."), "").encode() or None


def verdicts(message: bytes, *keys: SigningKey) -> dict[str, bool]:
    """Return what dkimpy thinks of each signature of ours on a message, by selector."""
    checked = dkim.DKIM(message)
    signatures = [value for name, value in checked.headers if name.lower() == b"dkim-signature"]

    def verify(number):
        try:
            return checked.verify(idx=number, dnsfunc=dns_of(*keys))
        except dkim.DKIMException:
            return False

    return {
        tags[b"s"].decode(): verify(number)
        for number, tags in enumerate(map(parse_tag_value, signatures))
        if tags[b"d"].decode() in {key.domain for key in keys}
    }


@cache
def _record(key: SigningKey) -> str:
    public = load_pem_private_key(key.private.encode(), None).public_key()
    if key.algorithm == "ed25519":
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k={key.algorithm}; p={base64.b64encode(octets).decode()}"


def sealed(message: bytes, by: str = "relay.test", results: str = "none") -> bytes:
    """Return ``message`` as ``by`` hands it on: with its results, and an ARC set of its own."""
    message = f"Authentication-Results: {by}; {results}\r\n".encode() + message
    key, _ = rsa_key(2048)
    return b"".join(dkim.arc_sign(message, b"s1", by.encode(), key, by.encode())) + message


def chain_verdict(message: bytes, *keys: SigningKey) -> str:
    """Return what dkimpy thinks of the ARC chain of a message, and how many sets it has."""
    records = {"s1._domainkey.relay.test": rsa_key(2048)[1], **published(*keys)}
    state, sets, _ = dkim.arc_verify(
        message, dnsfunc=lambda name, **_: records[name.decode().removesuffix(".")].encode()
    )
    return f"{(state or b'ended').decode()} of {len(sets)}"
