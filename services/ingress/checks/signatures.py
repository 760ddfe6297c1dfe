"""Signatures: verifies DKIM's, with keys from DNS (RFC 6376 §6).

To verify costs some 30 µs (RSA, 2048 bits), and keys over 4096 bits are refused: it is done
on the spot.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kernel.names import NamesUnavailableError
from services.ingress.checks.names import Names
from services.ingress.checks.port import Arrival
from services.ingress.core.authres import AuthResult
from services.ingress.core.dkim import (
    BadSignatureError,
    Key,
    Signature,
    Signer,
    parse_key,
    signed_octets,
)

_SHORTEST, _LONGEST = 1_024, 4_096  # bits; RFC 8301 §3.2


async def check_signature(
    arrival: Arrival, signature: Signature | BadSignatureError, names: Names
) -> AuthResult:
    """Return what came of one signature."""
    if isinstance(signature, BadSignatureError):
        return AuthResult("dkim", signature.result, reason=str(signature))
    try:
        await verify_message(arrival, signature, names)
    except BadSignatureError as error:
        return result_of(signature, error.result, str(error))
    except NamesUnavailableError:
        return result_of(signature, "temperror", "no answer about the key")
    return result_of(signature, "pass")


def result_of(signature: Signature, result: str, reason: str = "") -> AuthResult:
    """Return a result with what it is about (RFC 8601 §2.7.1; header.s: RFC 8904 §3)."""
    properties = (("header.d", signature.domain), ("header.s", signature.selector))
    return AuthResult("dkim", result, properties, reason)


async def verify_message(arrival: Arrival, signature: Signature, names: Names) -> None:
    """Return if the signature is right. Raises `BadSignatureError`, `NamesUnavailableError`."""
    if signature.expires is not None and arrival.at.timestamp() > signature.expires:
        raise BadSignatureError("fail", "signature expired")
    body = arrival.bodies[signature.canon]
    if body.digest != signature.body_hash:
        raise BadSignatureError("fail", "body hash did not verify")
    if body.is_partial:
        raise BadSignatureError("policy", "covers a part of the body only")
    await verify(signature, signed_octets(signature, arrival.fields), names)


async def verify(signer: Signer, octets: bytes, names: Names) -> None:
    """Return if ``signer`` has signed ``octets``.

    Raises `BadSignatureError`, `NamesUnavailableError`.
    """
    records = await names.ask(signer.key_name, "TXT")
    if not records:
        raise BadSignatureError("permerror", "no key")
    key = parse_key(records[0], signer)
    try:
        _verify_by(key, signer.signature, octets)
    except InvalidSignature:
        raise BadSignatureError("fail", "signature did not verify") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadSignatureError("permerror", "malformed key") from None


def _verify_by(key: Key, signature: bytes, octets: bytes) -> None:
    if key.type == "ed25519":  # RFC 8463 §3: signs the hash
        digest = Hash(SHA256())
        digest.update(octets)
        Ed25519PublicKey.from_public_bytes(key.octets).verify(signature, digest.finalize())
        return
    public = load_der_public_key(key.octets)
    if not isinstance(public, RSAPublicKey):
        raise BadSignatureError("permerror", "inapplicable key")
    if not _SHORTEST <= public.key_size <= _LONGEST:
        raise BadSignatureError("policy", f"key of {public.key_size} bits")
    public.verify(signature, octets, PKCS1v15(), SHA256())
