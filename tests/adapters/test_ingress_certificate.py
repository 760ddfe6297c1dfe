"""The certificate that ingress signs itself."""

import asyncio
import ssl
import stat

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from services.ingress.adapters.certificate import self_signed, server_context
from services.ingress.settings import Settings
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

    context = server_context(Settings(tls_cert=pem, tls_folder=tmp_path / "tls"), "x", NOON)

    assert not (tmp_path / "tls").exists()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
