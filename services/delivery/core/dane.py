"""DANE: what DNS, where it is signed, says of a server's certificate (RFC 6698, RFC 7672)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kernel.hostnames import covers

DANE_TA, DANE_EE = 2, 3  # RFC 7671 §5: the issuer's certificate, the server's own
_WHOLE, _KEY = 0, 1
_EXACT = 0
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}
LONGEST_CHAIN = 10  # certificates
_UNREADABLE = (
    ValueError,
    TypeError,
    IndexError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading somebody else's certificates may end in."""


class UnprovedError(Exception):
    """The certificates do not prove what the records say."""


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @classmethod
    def parse(cls, record: str) -> "Tlsa":
        """Return the record that ``3 1 1 d2abde24…`` spells."""
        usage, selector, matching, *digits = record.split()
        return cls(int(usage), int(selector), int(matching), bytes.fromhex("".join(digits)))

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"

    @property
    def is_usable(self) -> bool:
        """Whether it can prove a mail server: usages 0 and 1 cannot (RFC 7672 §3.1.3)."""
        known = self.selector in {_WHOLE, _KEY} and self.matching in {_EXACT, *_DIGESTS}
        return known and self.usage in {DANE_TA, DANE_EE} and bool(self.data)

    def fits(self, certificate: x509.Certificate) -> bool:
        """Return whether the record is about this certificate."""
        if self.selector == _KEY:
            octets = certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        else:
            octets = certificate.public_bytes(Encoding.DER)
        digest = _DIGESTS.get(self.matching)
        return self.data == (digest(octets).digest() if digest else octets)


@dataclass(frozen=True, slots=True)
class Dane:
    """What is said of one server. ``base`` is the name that it is said of, and SNI names it.

    Without any usable record there must be TLS, whoever the server is (RFC 7672 §2.2).
    """

    base: str
    records: tuple[Tlsa, ...]

    @classmethod
    def of(cls, base: str, records: Iterable[str]) -> "Dane":
        """Return what the records of ``base`` say; only what is usable counts."""
        parsed = (Tlsa.parse(record) for record in records)
        return cls(base, tuple(record for record in parsed if record.is_usable))


def prove(dane: Dane, names: Sequence[str], chain: Sequence[bytes], now: datetime) -> None:
    """Return if the certificates (DER, the server's first) are those that DNS announces.

    The server may be called any of ``names``. Raises `UnprovedError`.
    """
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain[:LONGEST_CHAIN]]
        leaf, issuers = certificates[0], certificates[1:]
        if any(r.usage == DANE_EE and r.fits(leaf) for r in dane.records):
            return  # neither names nor dates matter (RFC 7672 §3.1.1)
        anchors = [r for r in dane.records if r.usage == DANE_TA]
        if not any(_is_vouched_for(leaf, issuers, anchor, now) for anchor in anchors):
            raise UnprovedError("no certificate is one that DNS announces")
        if not any(covers(own, name) for own in _names(leaf) for name in names):
            raise UnprovedError("the certificate is for another name")  # RFC 7672 §3.1.2
    except _UNREADABLE as error:
        raise UnprovedError(f"the certificates cannot be read: {error}") from error


def _is_vouched_for(
    leaf: x509.Certificate, issuers: Sequence[x509.Certificate], anchor: Tlsa, now: datetime
) -> bool:
    """Return whether signatures lead from ``leaf`` to what ``anchor`` announces.

    The server sends the whole way, the anchor too (RFC 7672 §3.1.2).
    """
    if not _is_valid(leaf, now):
        return False
    left, below = list(issuers), 0
    current: x509.Certificate | None = leaf
    while current is not None:
        signers = [c for c in left if _has_signed(c, current, below)]
        if any(anchor.fits(signer) for signer in signers):
            return True  # it is trusted as it is, whatever its dates
        current = next((signer for signer in signers if _is_valid(signer, now)), None)
        left = [one for one in left if one is not current]
        below += 1
    return False


def _has_signed(issuer: x509.Certificate, subject: x509.Certificate, below: int) -> bool:
    """Return whether ``issuer`` may sign certificates, and has signed this one (RFC 5280 §6.1.4).

    ``below`` counts the authorities that stand between it and the server.
    """
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        subject.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, *_UNREADABLE):
        return False
    is_near = constraints.path_length is None or below <= constraints.path_length
    return constraints.ca and is_near and _may_sign(issuer)


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the host names of a certificate; the common name only where there is no other."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return names or [str(attribute.value) for attribute in common]
