"""Certificates that our services may show: the operator's, or one that we sign ourselves.

Ours is made at first start, key and certificate in one file, put in place with one
step: of several processes that start at once, one wins and all use the same. Which one
is shown to whom, and when files are read again, is for `kernel.tls`.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
_RENEW = timedelta(days=30)
_LAYOUTS = (("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key"))
"""What chain and key are called in a folder of their own: by certbot and acme.sh, by Kubernetes."""


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
    tls_certs: Path | None = Field(
        default=None,
        validation_alias=_either_name("TLS_CERTS"),
        description="Folder of certificates for several names, each in a folder of its own as in "
        "certbot's `live`: `fullchain.pem` and `privkey.pem`, or `tls.crt` and `tls.key`.",
    )
    tls_folder: Path = Field(
        default=Path("var/tls"),
        validation_alias=_either_name("TLS_FOLDER"),
        description="Where the certificate goes that we sign ourselves.",
    )


class BadCertificateError(Exception):
    """A certificate that cannot be shown. Says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a certificate is: its chain and its key (PEM), in two files or in one."""

    name: str
    chain: Path
    key: Path | None = None

    def state(self) -> tuple[tuple[int, ...], ...]:
        """Return what changes with the files, or with where a symbolic link leads."""
        return tuple(state_of(path) for path in (self.chain, self.key) if path)


class Context(ssl.SSLContext):
    """Our side of TLS. ``binding`` is what SASL binds to (RFC 5929), empty if there is nothing."""

    binding = b""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What we may show, for ``names`` (as ``*.example.org``), and until when."""

    context: Context
    names: frozenset[str]
    ends: datetime


def pairs(settings: CertificateSettings, hostname: str, now: datetime) -> tuple[Pair, ...]:
    """Return where our certificates are, the one for whoever names none first. Raises `OSError`.

    Blocks: where there is none a key is made.
    """
    found = [Pair(hostname, settings.tls_cert, settings.tls_key)] if settings.tls_cert else []
    if settings.tls_certs:
        found += sorted(_in_folders(settings.tls_certs), key=lambda p: (p.name != hostname, p.name))
    return tuple(found) or (_own(settings.tls_folder, hostname, now),)


def _in_folders(folder: Path) -> Iterator[Pair]:
    for place in folder.iterdir():
        for chain, key in _LAYOUTS:
            if (place / chain).exists():
                yield Pair(place.name, place / chain, place / key)
                break


def _own(folder: Path, hostname: str, now: datetime) -> Pair:
    return Pair("self-signed", self_signed(folder, hostname, now))


def load(
    pair: Pair, *, alive_at: datetime | None = None, clients: Path | None = None
) -> Certificate:
    """Return what the files hold. Raises `BadCertificateError`. Blocks.

    Of clients that are asked for a certificate, those that ``clients`` vouches for are believed:
    authorities, or the clients' own certificates (PEM).
    """
    try:
        context = our_side()
        if clients is not None:
            context.load_verify_locations(clients)
        context.load_cert_chain(pair.chain, pair.key, password=_refuse_password)
        pem = pair.chain.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        context.binding = endpoint_binding(pem)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise BadCertificateError(f"{pair.chain}: {error}") from error
    ends = _end_of(certificate)
    if alive_at is not None and ends <= alive_at:
        raise BadCertificateError(f"{pair.chain}: it ended {ends}")
    return Certificate(context, _names(certificate), ends)


def our_side() -> Context:
    """Return a context of ours that has no certificate yet.

    Ciphers are those of the library: forward secrecy, nothing broken. To ask for more would
    make some servers send in the clear.
    """
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _refuse_password() -> str:
    """Fail, rather than ask for one on a terminal that nobody watches."""
    raise ValueError("the key is protected by a password")


def state_of(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, or with where a symbolic link leads."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def _end_of(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


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
    """Return the file with our own certificate and its key; make it, or anew before it ends."""
    path = folder / _FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _draft(path, _make(hostname, now)) as draft, suppress(FileExistsError):
            os.link(draft, path)  # or another process was faster: its certificate counts
    elif _is_ending(path, now):
        with _draft(path, _make(hostname, now)) as draft:
            draft.replace(path)  # the last process wins, and the others notice
    return path


def _is_ending(path: Path, now: datetime) -> bool:
    try:
        return _end_of(x509.load_pem_x509_certificate(path.read_bytes())) < now + _RENEW
    except ValueError:
        return False  # somebody else's business: it is refused when it is loaded


@contextmanager
def _draft(path: Path, data: bytes) -> Iterator[Path]:
    """Yield a file with ``data`` beside ``path``, on stable storage."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


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
