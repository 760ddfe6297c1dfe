"""SASL exchanges, line by line, with an auth that says what the test wants."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.questions import LoginAnswer, LoginVerdict
from kernel.sasl import MAX_LINE, MECHANISMS, Challenge, Exchange, Fault, Shown

ANN = Shown("ann", "secret")
GRANTED = LoginAnswer(LoginVerdict.GRANTED, "ann", message=b"v=proof")
REFUSED = LoginAnswer(LoginVerdict.REFUSED)
LOCKED = LoginAnswer(LoginVerdict.LOCKED)
GO_ON = LoginAnswer(LoginVerdict.CONTINUE, message=b"r=abc,s=salt,i=4096")


def play(mechanism, initial=b"", *words):
    """Return the steps that come of the client's lines and of auth's answers."""
    exchange = Exchange(mechanism, "nonce@mx.ours.test")
    steps = [exchange.begin(initial)]
    for word in words:
        answer = isinstance(word, LoginAnswer)
        steps.append(exchange.answered(word) if answer else exchange.respond(word))
    return steps


def b64(text):
    return b64encode(text.encode())


def challenge(text):
    return Challenge(b64(text).decode())


def test_plain_in_one_step_or_two():
    assert play("PLAIN", b64("\0ann\0secret"), GRANTED) == [ANN, GRANTED]
    assert play("PLAIN", b"", b64("ann\0ann\0secret")) == [Challenge(""), ANN]


def test_login_asks_for_what_is_missing():
    name, password = Challenge("VXNlcm5hbWU6"), Challenge("UGFzc3dvcmQ6")

    assert play("LOGIN", b"", b64("ann"), b64("secret")) == [name, password, ANN]
    assert play("LOGIN", b64("ann"), b64("secret"), REFUSED) == [password, ANN, REFUSED]


def test_in_cram_md5_no_password_crosses_the_wire():
    """The name may hold spaces: the digest is the last word (RFC 2195 §2)."""
    shown = Shown(
        "ann of ours", challenge=b"<nonce@mx.ours.test>", responses=(b"ann of ours 0123abcd",)
    )

    steps = play("CRAM-MD5", b"", b64("ann of ours 0123abcd"), GRANTED)

    assert steps == [challenge("<nonce@mx.ours.test>"), shown, GRANTED]


def test_cram_md5_begins_with_the_server():
    assert play("CRAM-MD5", b64("ann 0123abcd")) == [Fault.MALFORMED]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_scram_passes_on_what_both_sides_say(mechanism):
    nonce = b"nonce@mx.ours.test"

    steps = play(mechanism, b64("n,,n=ann,r=x"), GO_ON, b64("c=biws,r=x,p=y"), GRANTED, b"")

    assert steps == [
        Shown(challenge=nonce, responses=(b"n,,n=ann,r=x",)),
        challenge("r=abc,s=salt,i=4096"),
        Shown(challenge=nonce, responses=(b"n,,n=ann,r=x", b"c=biws,r=x,p=y")),
        challenge("v=proof"),
        GRANTED,
    ]


def test_scram_without_an_initial_response_begins_with_an_empty_challenge():
    assert play("SCRAM-SHA-256", b"")[0] == Challenge("")


@pytest.mark.parametrize("answer", [REFUSED, LOCKED, GRANTED])
def test_scram_ends_early_unless_auth_goes_on(answer):
    assert play("SCRAM-SHA-256", b64("n,,n=ann,r=x"), answer)[-1] == answer


def test_who_does_not_take_the_servers_proof_is_not_logged_in():
    steps = play("SCRAM-SHA-256", b64("n,,n=ann,r=x"), GO_ON, b64("p=y"), GRANTED, b"*")

    assert steps[-1] is Fault.CANCELLED


@pytest.mark.parametrize("mechanism", ["LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_a_star_cancels(mechanism):
    assert play(mechanism, b"", b"*")[-1] is Fault.CANCELLED


def test_nobody_acts_for_somebody_else():
    assert play("PLAIN", b64("eve\0ann\0secret")) == [REFUSED]


@pytest.mark.parametrize(
    "response", [b"!", b"YQ", b"YQ==x", b"=", b64("ann"), b64("a\0b\0c\0d"), b"/w=="]
)
def test_nonsense_is_malformed(response):
    assert play("PLAIN", response) == [Fault.MALFORMED]


def test_lines_have_a_limit():
    assert play("PLAIN", b"A" * (MAX_LINE + 1)) == [Fault.TOO_LONG]
    assert play("LOGIN", b"", b"A" * (MAX_LINE + 1))[-1] is Fault.TOO_LONG
    assert isinstance(play("LOGIN", b"", b"AAAA" * (MAX_LINE // 4))[-1], Challenge)


@given(
    st.sampled_from(sorted(MECHANISMS)),
    st.binary() | st.binary().map(b64encode),
    st.lists(
        st.binary() | st.binary().map(b64encode) | st.sampled_from([GRANTED, GO_ON, REFUSED]),
        max_size=5,
    ),
)
def test_every_line_has_an_answer_and_only_auth_grants(mechanism, initial, words):
    exchange = Exchange(mechanism, "nonce")
    step, granted = exchange.begin(initial), False
    for word in words:
        if isinstance(step, Fault | LoginAnswer):
            break
        if isinstance(step, Shown):
            answer = word if isinstance(word, LoginAnswer) else REFUSED
            granted = granted or answer is GRANTED
            step = exchange.answered(answer)
        else:
            step = exchange.respond(word if isinstance(word, bytes) else b"")

    assert isinstance(step, Challenge | Shown | Fault | LoginAnswer)
    assert granted or not (isinstance(step, LoginAnswer) and step.verdict == "granted")


def test_what_a_client_shows_is_not_shown():
    shown = Shown("ann", "secret", b"challenge", (b"proof",))

    assert "secret" not in repr(shown)
    assert "proof" not in repr(shown)
