"""Logging in to a smart host, against servers made independently of us."""

import json
from base64 import b64decode, b64encode

import pytest

from kernel.model.questions import LoginQuestion, LoginVerdict
from kernel.model.reply import Reply
from kernel.model.sending import Route, Target, TlsPolicy
from services.delivery.core import login
from services.delivery.core.login import (
    BadChallengeError,
    Credentials,
    Login,
    choose,
    credentials_for,
)
from tests.support import sasl

NONCE = "fyko+d2lbbFgONRv9qkxdawL"
ALL = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2"


def make(mechanism, password="secret", name="ann"):
    return Login(Credentials(name, password, nonce=NONCE), mechanism)


def b64(text):
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("offered", "wanted", "secure", "chosen"),
    [
        (ALL, "", True, "SCRAM-SHA-256"),
        ("LOGIN PLAIN CRAM-MD5", "", True, "CRAM-MD5"),
        ("LOGIN PLAIN", "", True, "PLAIN"),
        ("login", "", True, "LOGIN"),
        ("XOAUTH2", "", True, None),
        ("XOAUTH2", "XOAUTH2", True, "XOAUTH2"),
        (ALL, "LOGIN", True, "LOGIN"),
        ("PLAIN", "CRAM-MD5", True, None),
        (ALL, "", False, "SCRAM-SHA-256"),
        ("LOGIN PLAIN", "", False, None),
        (ALL, "PLAIN", False, None),
        (ALL, "XOAUTH2", False, None),
        ("", "", True, None),
        ("GSSAPI NTLM", "", True, None),
        (ALL, "GSSAPI", True, None),
    ],
)
def test_the_strongest_of_those_offered_is_used_or_the_one_that_is_named(
    offered, wanted, secure, chosen
):
    assert choose(Credentials("ann", "secret", wanted), offered, secure=secure) == chosen


def test_a_password_crosses_in_the_clear_where_that_is_said():
    credentials = Credentials("ann", "secret", in_the_clear=True)

    assert choose(credentials, "PLAIN", secure=False) == "PLAIN"


@pytest.mark.parametrize(
    ("address", "tls", "in_the_clear"),
    [
        ("192.0.2.1", None, False),
        ("192.0.2.1", TlsPolicy.OPPORTUNISTIC, False),
        ("192.0.2.1", TlsPolicy.NONE, True),
        ("127.0.0.2", None, True),
        ("::1", None, True),
        ("localhost", TlsPolicy.OPPORTUNISTIC, True),
        ("smart.example", None, False),
    ],
)
def test_a_route_tells_how_to_log_in(address, tls, in_the_clear):
    route = Route("*", (Target(address, 25),), tls, login="ann", password="x", mechanism="plain")

    assert credentials_for(route, address, NONCE) == Credentials(
        "ann", "x", "PLAIN", NONCE, in_the_clear
    )


@pytest.mark.parametrize("route", [None, Route("*")])
def test_without_a_login_there_is_none(route):
    assert credentials_for(route, "127.0.0.1", NONCE) is None


def test_plain_says_it_all_at_once():
    assert make("PLAIN").begin() == b"AUTH PLAIN AGFubgBzZWNyZXQ="


def test_login_is_asked_twice():
    dialogue = make("LOGIN")

    assert dialogue.begin() == b"AUTH LOGIN"
    assert dialogue.respond(b64("Username:")) == b64("ann").encode()
    assert dialogue.respond(b64("Password:")) == b64("secret").encode()
    dialogue.granted()


def test_cram_md5_as_in_rfc_2195():
    dialogue = make("CRAM-MD5", "tanstaaftanstaaf", "tim")

    assert dialogue.begin() == b"AUTH CRAM-MD5"
    response = dialogue.respond(b64("<1896.697170952@postoffice.reston.mci.net>"))

    assert b64decode(response) == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_xoauth2_answers_a_refusal_with_nothing():
    dialogue = make("XOAUTH2", "ya29.token", "ann@ours.test")

    _, _, initial = dialogue.begin().partition(b"XOAUTH2 ")
    assert b64decode(initial) == b"user=ann@ours.test\1auth=Bearer ya29.token\1\1"
    assert dialogue.respond(b64(json.dumps({"status": "401"}))) == b""


def test_a_long_token_waits_for_a_challenge():
    dialogue = make("XOAUTH2", "t" * 2_000)

    assert dialogue.begin() == b"AUTH XOAUTH2"
    assert b"t" * 2_000 in b64decode(dialogue.respond(""))
    dialogue.granted()


def test_scram_as_in_rfc_7677():
    dialogue = Login(Credentials("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO"), "SCRAM-SHA-256")

    assert (
        dialogue.begin() == f"AUTH SCRAM-SHA-256 {b64('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')}".encode()
    )
    final = dialogue.respond(
        b64(
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        )
    )
    assert b64decode(final) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert dialogue.respond(b64("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")) == b""
    dialogue.granted()


@pytest.mark.parametrize("name", ["ann", "a,n=n", "größe", "non\u00a0break\u00adable"])
@pytest.mark.parametrize("password", ["secret", "p,w=d", "pass\u00a0wörd\u00ad"])
def test_scram_with_a_server_that_is_not_ours(name, password):
    dialogue = make("SCRAM-SHA-256", password, name)
    responses = [b64decode(dialogue.begin().split()[2])]

    def answer():
        question = LoginQuestion(
            "smtp",
            "submission",
            "192.0.2.1",
            "SCRAM-SHA-256",
            challenge=b"theirs",
            responses=tuple(responses),
        )
        return sasl.judge(question, password)

    responses.append(b64decode(dialogue.respond(b64(answer().message))))
    final = answer()

    assert final.verdict is LoginVerdict.GRANTED
    assert dialogue.respond(b64(final.message)) == b""


def scram_first(nonce=f"{NONCE}theirs", salt="c2FsdA==", iterations="4096"):
    return f"r={nonce},s={salt},i={iterations}"


@pytest.mark.parametrize(
    "first",
    [
        "",
        "e=unknown-user",
        "m=needed,r=x,s=y,i=4096",
        scram_first(nonce="not-ours"),
        scram_first(nonce=NONCE),
        scram_first(salt="!"),
        scram_first(iterations="1"),
        scram_first(iterations="99999999999999999999"),
        scram_first(iterations="-4096"),
        scram_first(iterations="x"),
        "\udcff".encode("utf-8", "surrogateescape"),
    ],
)
def test_scram_is_not_spoken_with_those_who_do_not_keep_to_it(first):
    dialogue = make("SCRAM-SHA-256")
    dialogue.begin()

    with pytest.raises(BadChallengeError):
        dialogue.respond(b64(first))


@pytest.mark.parametrize("final", ["v=" + b64(bytes(32)), "e=invalid-proof", ""])
def test_a_server_that_does_not_know_our_password_is_not_ours(final):
    dialogue = make("SCRAM-SHA-256")
    dialogue.begin()
    dialogue.respond(b64(scram_first()))

    with pytest.raises(BadChallengeError):
        dialogue.respond(b64(final))


@pytest.mark.parametrize("challenges", [0, 1])
def test_nor_is_one_that_lets_us_in_without_showing_that_it_does(challenges):
    dialogue = make("SCRAM-SHA-256")
    dialogue.begin()
    for challenge in [scram_first()][:challenges]:
        dialogue.respond(b64(challenge))

    with pytest.raises(BadChallengeError):
        dialogue.granted()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"])
def test_a_server_that_never_has_enough_is_left(mechanism):
    dialogue = make(mechanism)
    dialogue.begin()

    with pytest.raises(BadChallengeError):
        list(map(dialogue.respond, [b64("more")] * 5))


@pytest.mark.parametrize("challenge", ["not base64!", "ä", "YQ", "=", "Y\nQ=="])
def test_a_challenge_is_base64(challenge):
    dialogue = make("LOGIN")
    dialogue.begin()

    with pytest.raises(BadChallengeError):
        dialogue.respond(challenge)


def test_a_refused_login_is_for_later_and_says_why():
    dialogue = make("PLAIN")
    dialogue.begin()

    refusal = dialogue.refusal(Reply(535, "5.7.8", "Wrong"))

    assert refusal == Reply(454, "4.7.0", "The smart host refuses our login: 535 5.7.8 Wrong")


@pytest.mark.parametrize(
    "words", ["no secret please", "AUTH {}", "{}"], ids=["password", "command", "base64"]
)
def test_its_words_are_kept_back_if_they_repeat_a_secret(words):
    dialogue = make("PLAIN")
    command = dialogue.begin().decode()

    refusal = dialogue.refusal(Reply(535, "5.7.8", words.format(command.split()[2])))

    assert refusal.text == "The smart host refuses our login: 535 5.7.8"


def test_a_secret_is_shown_nowhere():
    assert "secret" not in repr(Credentials("ann", "secret", nonce=NONCE))
    assert "secret" not in repr(make("PLAIN"))


def test_the_work_for_a_password_is_done_once():
    login._salted.cache_clear()
    for _ in range(3):
        dialogue = make("SCRAM-SHA-256", "often")
        dialogue.begin()
        dialogue.respond(b64(scram_first()))

    assert login._salted.cache_info().misses == 1
