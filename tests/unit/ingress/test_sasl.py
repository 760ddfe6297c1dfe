from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.sasl import MECHANISMS, Credentials, Exchange

ANN = Credentials("ann", "secret")


def play(mechanism, initial=b"", *lines):
    exchange = Exchange(mechanism)
    steps = [exchange.begin(initial)]
    return steps + [exchange.respond(line) for line in lines]


def b64(text):
    return b64encode(text.encode())


def test_plain_in_one_step_or_two():
    assert play("PLAIN", b64("\0ann\0secret")) == [ANN]
    assert play("PLAIN", b"", b64("ann\0ann\0secret")) == [Reply(334, "", ""), ANN]


def test_login_asks_for_what_is_missing():
    name, password = Reply(334, "", "VXNlcm5hbWU6"), Reply(334, "", "UGFzc3dvcmQ6")

    assert play("LOGIN", b"", b64("ann"), b64("secret")) == [name, password, ANN]
    assert play("LOGIN", b64("ann"), b64("secret")) == [password, ANN]


def test_a_star_cancels():
    assert play("LOGIN", b"", b"*")[-1] == replies.AUTH_CANCELLED


def test_nobody_acts_for_somebody_else():
    assert play("PLAIN", b64("eve\0ann\0secret")) == [replies.AUTH_REFUSED]


@pytest.mark.parametrize(
    "response", [b"!", b"YQ", b"YQ==x", b"=", b64("ann"), b64("a\0b\0c\0d"), b"/w=="]
)
def test_nonsense_is_a_syntax_error(response):
    assert play("PLAIN", response) == [replies.AUTH_BAD_BASE64]


@given(st.sampled_from(sorted(MECHANISMS)), st.binary(), st.lists(st.binary(), max_size=3))
def test_every_line_has_an_answer(mechanism, initial, lines):
    exchange = Exchange(mechanism)
    step = exchange.begin(initial)
    for line in lines:
        if isinstance(step, Credentials) or step.code != 334:
            break
        step = exchange.respond(line)

    assert isinstance(step, Reply | Credentials)


def test_credentials_do_not_show_the_password():
    assert "secret" not in repr(ANN)
