"""Sealed secrets open for whom they are, and for nobody else."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.adapters.sealing import Seal
from services.auth.core.secrets import ChallengeSecrets

SECRETS = ChallengeSecrets(b"c" * 32, b"s" * 32, b"k" * 32)
SEAL = Seal("a key that nobody guesses")


@pytest.mark.parametrize(("login", "name"), [("ann", ""), ("ann", "phone"), ("ann@ours.test", "x")])
def test_what_was_sealed_opens_again(login, name):
    sealed = SEAL.close(SECRETS, login, name)

    assert SEAL.open(sealed, login, name) == SECRETS
    assert Seal("a key that nobody guesses").open(sealed, login, name) == SECRETS


@pytest.mark.parametrize(("login", "name"), [("bob", ""), ("ann", "phone"), ("an", "n"), ("", "")])
def test_the_secrets_of_somebody_else_do_not_open(login, name):
    assert SEAL.open(SEAL.close(SECRETS, "ann"), login, name) is None


def test_another_key_opens_nothing():
    assert Seal("another key, as long").open(SEAL.close(SECRETS, "ann"), "ann") is None


@given(st.integers(0), st.integers(1, 255))
def test_a_single_octet_changed_is_noticed(place, change):
    octets = bytearray(b64decode(SEAL.close(SECRETS, "ann")))
    octets[place % len(octets)] ^= change

    assert SEAL.open(b64encode(octets).decode(), "ann") is None


@given(st.text())
def test_what_was_never_sealed_does_not_open(text):
    assert SEAL.open(text, "ann") is None


def test_the_same_is_sealed_differently_each_time_and_fits_its_column():
    sealed = SEAL.close(SECRETS, "ann")

    assert sealed != SEAL.close(SECRETS, "ann")
    assert b"cccc" not in b64decode(sealed)
    assert len(sealed) < 300
