"""The certificate that our services show: the operator's, or one that we sign ourselves.

Ours is made at first start, key and certificate in one file, put in place with one
step: of several processes that start at once, one wins and all use the same.
"""

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from kernel.settings import PostroomSettings

_FILE = "self-signed.pem"
_VALID = timedelta(days=3650)
_SKEW = timedelta(days=1)


def _either_name(name: str) -> AliasChoices:
    """Let a setting be called by the name that it had while ingress alone spoke TLS, too."""
    return AliasChoices(f"POSTROOM_{name}", f"POSTROOM_INGRESS_{name}")


class CertificateSettings(PostroomSettings):
    """Which certificate we show: the same for every service that speaks TLS."""

    model_config = SettingsConfigDict(populate_by_name=True)

    tls_cert: Path | None = Field(
        default=None,
        validation_alias=_either_name("TLS_CERT"),
        description="Certificate chain (PEM). Without it we sign one ourselves.",
    )
    tls_key: Path | None = Field(
        default=None,
        validation_alias=_either_name("TLS_KEY"),
        description="Private key (PEM), where it is not in `tls_cert`.",
    )
    tls_folder: Path = Field(
        default=Path("var/tls"),
        validation_alias=_either_name("TLS_FOLDER"),
        description="Where the certificate goes that we sign ourselves.",
    )


@dataclass(frozen=True, slots=True)
class Certificate:
    """What we show: ``context`` is our side of TLS, ``binding`` what SASL binds to (RFC 5929)."""

    context: ssl.SSLContext
    binding: bytes


def open_certificate(settings: CertificateSettings, hostname: str, now: datetime) -> Certificate:
    """Return the certificate to show. Blocks: files are read, and perhaps a key is made."""
    chain = settings.tls_cert or self_signed(settings.tls_folder, hostname, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(chain, settings.tls_key if settings.tls_cert else None)
    return Certificate(context, endpoint_binding(chain.read_bytes()))


def endpoint_binding(pem: bytes) -> bytes:
    """Return ``tls-server-end-point`` for a chain: the hash of our own certificate, its first.

    The hash is that of the certificate's signature, but none weaker than SHA-256 (RFC 5929
    §4.1). Empty where the signature has none, as Ed25519: then there is no such binding.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    signed_with = certificate.signature_hash_algorithm
    if signed_with is None:
        return b""
    is_weak = isinstance(signed_with, hashes.MD5 | hashes.SHA1)
    return certificate.fingerprint(hashes.SHA256() if is_weak else signed_with)


def self_signed(folder: Path, hostname: str, now: datetime) -> Path:
    """Return the file with our own certificate and its key; make it if it is not there."""
    path = folder / _FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_once(path, _make(hostname, now))
    return path


def _write_once(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: its certificate counts
            os.link(draft, path)
    finally:
        draft.unlink()


def _make(hostname: str, now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Postroom, self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
