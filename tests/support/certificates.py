"""Throw-away certificates."""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kernel.clock import system_clock


def self_signed(folder) -> ssl.SSLContext:
    """Return a server's context with a new certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "there.test")])
    now = system_clock()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "there.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class Authority:
    """Vouches for names, by way of one of its branches, as public authorities do."""

    def __init__(self) -> None:
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._branch_key = ec.generate_private_key(ec.SECP256R1())
        root, branch = _name("root"), _name("branch")
        self.root = _sign(root, self._root_key, root, self._root_key, is_authority=True)
        self.branch = _sign(branch, self._branch_key, root, self._root_key, is_authority=True)

    def branch_again(self) -> x509.Certificate:
        """Vouch for our branch a second time."""
        root = _name("root")
        return _sign(_name("branch"), self._branch_key, root, self._root_key, is_authority=True)

    @property
    def pem(self) -> str:
        """What its clients trust."""
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, folder: Path, *names: str, ends: datetime | None = None) -> bytes:
        """Write ``fullchain.pem`` and ``privkey.pem``; return the certificate (DER)."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [x509.SubjectAlternativeName([x509.DNSName(name) for name in names])]
        leaf = _sign(_name("leaf"), key, _name("branch"), self._branch_key, *extensions, ends=ends)
        folder.mkdir(parents=True, exist_ok=True)
        chain = [one.public_bytes(serialization.Encoding.PEM) for one in (leaf, self.branch)]
        (folder / "fullchain.pem").write_bytes(b"".join(chain))
        (folder / "privkey.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return leaf.public_bytes(serialization.Encoding.DER)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(subject, key, issuer, signing_key, *extensions, is_authority=False, ends=None):
    now = system_clock()
    ends = ends or now + timedelta(days=60)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(min(now, ends) - timedelta(days=1)).not_valid_after(ends)
    extensions += (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
    )
    constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
    builder = builder.add_extension(constraints, critical=True)
    builder = builder.add_extension(_usage(is_authority=is_authority), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _usage(*, is_authority):
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
