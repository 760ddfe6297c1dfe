"""The certificate that we show, and the one that we sign ourselves."""

import asyncio
import hashlib
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kernel.certificate import (
    CertificateSettings,
    endpoint_binding,
    pairs,
    self_signed,
)
from services.ingress.settings import Settings as IngressSettings
from tests.support.mail import NOON


def test_it_is_made_once(tmp_path):
    first = self_signed(tmp_path / "tls", "mx.ours.test", NOON).read_bytes()

    assert self_signed(tmp_path / "tls", "other.test", NOON).read_bytes() == first


def test_it_names_us(tmp_path):
    pem = self_signed(tmp_path, "mx.ours.test", NOON).read_bytes()

    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.ours.test"]
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)


def test_nobody_else_may_read_the_key(tmp_path):
    path = self_signed(tmp_path, "mx.ours.test", NOON)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


async def test_of_those_who_start_at_once_one_wins(tmp_path):
    calls = [asyncio.to_thread(self_signed, tmp_path, f"mx{n}.test", NOON) for n in range(8)]

    paths = await asyncio.gather(*calls)

    assert len({path.read_bytes() for path in paths}) == 1
    assert list(tmp_path.iterdir()) == [paths[0]]


def test_the_operators_own_certificate_is_preferred(tmp_path):
    pem = self_signed(tmp_path / "own", "mx.ours.test", NOON)

    settings = CertificateSettings(tls_cert=pem, tls_folder=tmp_path / "tls")
    [pair] = pairs(settings, "x", NOON)

    assert not (tmp_path / "tls").exists()
    assert pair.chain == pem


def test_it_is_made_anew_in_the_month_before_it_ends(tmp_path):
    first = self_signed(tmp_path, "mx.ours.test", NOON).read_bytes()

    assert self_signed(tmp_path, "mx.ours.test", NOON + timedelta(days=3619)).read_bytes() == first
    assert self_signed(tmp_path, "mx.ours.test", NOON + timedelta(days=3621)).read_bytes() != first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("prefix", ["POSTROOM_", "POSTROOM_INGRESS_"])
def test_its_settings_have_a_name_that_all_services_share_and_an_old_one(monkeypatch, prefix):
    monkeypatch.setenv(f"{prefix}TLS_CERT", "/etc/chain.pem")
    monkeypatch.setenv(f"{prefix}TLS_FOLDER", "/srv/tls")

    settings = IngressSettings()

    assert (settings.tls_cert, settings.tls_folder) == (Path("/etc/chain.pem"), Path("/srv/tls"))


@pytest.mark.parametrize(
    ("key", "signed_with", "hashed_with"),
    [
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA256(), "sha256"),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), "sha384"),
        (rsa.generate_private_key(65537, 2048), hashes.SHA512(), "sha512"),
    ],
    ids=["SHA-256", "SHA-384", "SHA-512"],
)
def test_what_sasl_binds_to_is_hashed_as_the_certificate_is_signed(key, signed_with, hashed_with):
    certificate = certificate_of(key, signed_with)

    binding = endpoint_binding(certificate.public_bytes(Encoding.PEM))

    assert binding == hashlib.new(hashed_with, certificate.public_bytes(Encoding.DER)).digest()


def test_where_the_signature_has_no_hash_there_is_nothing_to_bind_to():
    certificate = certificate_of(ed25519.Ed25519PrivateKey.generate(), None)

    assert endpoint_binding(certificate.public_bytes(Encoding.PEM)) == b""


def certificate_of(key, signed_with):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.ours.test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOON).not_valid_after(NOON + timedelta(days=1))
    return builder.sign(key, signed_with)
