"""Certificates that signed DNS announces, and those that it does not (RFC 7672)."""

import hashlib
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificates
from hypothesis import given
from hypothesis import strategies as st

from kernel.clock import system_clock
from services.delivery.core.dane import Dane, Tlsa, UnprovedError, prove
from tests.support.certificates import Authority

MX = "mx.x.test"
NOW = system_clock()
SOMEDAY = NOW + timedelta(days=1000)
EE, TA = 3, 2


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """An authority, the chain that a server of its shows, and that of another's server."""
    authority, other = Authority(), Authority()
    chains = {}
    for name, by in (("ours", authority), ("theirs", other)):
        folder = tmp_path_factory.mktemp(name)
        by.issue(folder, MX, "*.wild.test")
        chains[name] = load_pem_x509_certificates((folder / "fullchain.pem").read_bytes())
    return SimpleNamespace(authority=authority, root=authority.root, **chains)


def record(certificate, usage, selector=0, matching=1):
    octets = certificate.public_bytes(Encoding.DER)
    if selector:
        key = certificate.public_key()
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = {0: bytes, 1: lambda o: hashlib.sha256(o).digest()}.get(
        matching, lambda o: hashlib.sha512(o).digest()
    )
    return f"{usage} {selector} {matching} {digest(octets).hex()}"


def is_proved(chain, *records, names=(MX,), now=NOW):
    der = [certificate.public_bytes(Encoding.DER) for certificate in chain]
    try:
        prove(Dane.of(MX, records), names, der, now)
    except UnprovedError:
        return False
    return True


@pytest.mark.parametrize("selector", [0, 1], ids=["certificate", "key"])
@pytest.mark.parametrize("matching", [0, 1, 2], ids=["whole", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("usage", [EE, TA])
def test_a_certificate_proves_what_is_announced(house, usage, selector, matching):
    leaf, branch = house.ours
    announced = record(leaf if usage == EE else branch, usage, selector, matching)

    assert is_proved(house.ours, announced)
    assert not is_proved(house.theirs, announced)


def test_one_record_of_several_is_enough(house):
    stale = record(house.theirs[0], EE)

    assert is_proved(house.ours, stale, record(house.ours[0], EE))
    assert is_proved(house.ours, stale, record(house.ours[1], TA))
    assert not is_proved(house.ours, stale)
    assert not is_proved(house.ours)


def test_neither_name_nor_dates_matter_for_the_servers_own_certificate(house):
    announced = record(house.ours[0], EE)

    assert is_proved(house.ours, announced, names=["elsewhere.test"], now=SOMEDAY)


def test_they_do_for_one_that_an_authority_vouches_for(house):
    announced = record(house.ours[1], TA)

    assert not is_proved(house.ours, announced, names=["elsewhere.test"])
    assert not is_proved(house.ours, announced, now=SOMEDAY)
    assert is_proved(house.ours, announced, names=["elsewhere.test", MX])
    assert is_proved(house.ours, announced, names=["mail.wild.test"])


def test_the_authority_must_be_shown(house):
    leaf, branch = house.ours

    assert is_proved([leaf, branch, house.root], record(house.root, TA))
    assert not is_proved([leaf, branch], record(house.root, TA))
    assert not is_proved([leaf], record(branch, TA))
    assert not is_proved([leaf, house.root], record(house.root, TA))


def test_to_show_an_authority_is_not_to_be_vouched_for(house):
    """Anybody can send somebody else's certificates along with their own."""
    impostor = [house.theirs[0], *house.ours, house.root]

    assert not is_proved(impostor, record(house.ours[1], TA), record(house.root, TA))


def test_a_server_is_no_authority(house, tmp_path):
    leaf = house.ours[0]

    assert not is_proved([leaf, leaf], record(leaf, TA))


@pytest.mark.parametrize(
    ("text", "is_usable"),
    [
        ("3 1 1 0a0b", True),
        ("2 0 2 0a 0b", True),
        ("0 1 1 0a", False),
        ("1 1 1 0a", False),
        ("4 1 1 0a", False),
        ("3 2 1 0a", False),
        ("3 1 3 0a", False),
        ("3 1 1 ", False),
    ],
)
def test_some_records_prove_nothing(text, is_usable):
    assert Tlsa.parse(text).is_usable is is_usable
    assert bool(Dane.of(MX, [text]).records) is is_usable


@pytest.mark.parametrize("chain", [[], [b""], [b"not a certificate"]])
def test_what_cannot_be_read_proves_nothing(chain):
    with pytest.raises(UnprovedError):
        prove(Dane.of(MX, ["3 1 1 0a"]), [MX], chain, NOW)


KEY_OF_A_CURVE = bytes.fromhex("06072a8648ce3d0201")
"""An object identifier, and its last arc."""


@pytest.mark.parametrize("usage", [EE, TA])
def test_a_key_of_a_kind_that_nobody_knows_proves_nothing(house, usage):
    odd = KEY_OF_A_CURVE[:-1] + b"\x7f"
    der = [one.public_bytes(Encoding.DER).replace(KEY_OF_A_CURVE, odd) for one in house.ours]

    with pytest.raises(UnprovedError):
        prove(Dane.of(MX, [f"{usage} 1 1 {'0a' * 32}"]), [MX], der, NOW)


def test_of_two_certificates_of_one_authority_either_may_be_announced(house, tmp_path):
    leaf, branch = house.ours
    again = house.authority.branch_again()

    for first, second in ((branch, again), (again, branch)):
        assert is_proved([leaf, first, second], record(again, TA))
    assert not is_proved([leaf, branch], record(again, TA))


@given(st.sampled_from([EE, TA]), st.integers(0, 1), st.integers(0, 2), st.binary(min_size=1))
def test_no_data_but_the_right_one_proves_anything(house, usage, selector, matching, data):
    announced = f"{usage} {selector} {matching} {data.hex()}"

    assert not is_proved(house.ours, announced)
