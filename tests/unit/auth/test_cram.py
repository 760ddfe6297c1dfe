"""CRAM-MD5: what is kept of a password judges its responses as HMAC-MD5 would."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core import md5
from services.auth.core.cram import fits, states_of

CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"
RESPONSE = b"tim b913a602c7eda7a495b4e6e7334d3890"
STATES = states_of(b"tanstaaftanstaaf")


def test_the_example_of_rfc_2195():
    assert fits(RESPONSE, STATES, CHALLENGE)


@pytest.mark.parametrize(
    "response",
    [
        b"tim b913a602c7eda7a495b4e6e7334d3891",
        b"tim b913a602c7eda7a495b4e6e7334d389",
        b"tim ",
        b"",
        b"tim \xff\xfe",
        b"b913a602c7eda7a495b4e6e7334d3890 tim",
    ],
)
def test_any_other_response_is_wrong(response):
    assert not fits(response, STATES, CHALLENGE)


def test_a_response_is_good_for_its_challenge_alone():
    assert not fits(RESPONSE, STATES, CHALLENGE.replace(b"1896", b"1897"))


def test_digits_may_be_capitals_and_a_name_may_have_spaces():
    assert fits(b"tim the second " + RESPONSE[4:].upper(), STATES, CHALLENGE)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_hmac_md5_says_of_password_and_challenge_is_right(password, challenge):
    digest = hmac.new(password, challenge, "md5").hexdigest().encode()

    assert fits(b"ann " + digest, states_of(password), challenge)


@given(st.binary(max_size=300))
def test_md5_is_md5(text):
    assert md5.finish(md5.START, 0, text) == hashlib.md5(text).digest()


@given(st.binary(max_size=100))
def test_the_password_is_not_in_what_is_kept(password):
    assert len(states_of(password)) == 32
    assert len(password) < 4 or password not in states_of(password)
