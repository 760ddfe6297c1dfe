"""Who a client is: what it is offered, how it logs in, and whether it may come in at all."""

from base64 import b64encode
from dataclasses import replace

import pytest

from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    LoginAnswer,
    LoginVerdict,
    PlaintextAuth,
    TlsMode,
)
from kernel.sasl import MECHANISMS
from services.ingress.core import effects
from services.ingress.core.effects import Tls
from tests.unit.ingress.talk import ENVELOPE, HELLO, LISTENER, TLS, make_doorway, talk

ALL = tuple(sorted(MECHANISMS))
UNBOUND = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")
BOUND = ("SCRAM-SHA-256-PLUS",)
PROVES = ("SCRAM-SHA-256", "CRAM-MD5")
SHOWS = ("PLAIN", "LOGIN")
PLAIN = b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
FIRST, FINAL = b64encode(b"n,,n=ann,r=mine"), b64encode(b"c=biws,r=mine,p=proof")
RESTRICTED = replace(LISTENER, restricted=True)
GRANTED = LoginAnswer(LoginVerdict.GRANTED, "ann")


@pytest.mark.parametrize(
    ("mode", "tls", "allowed", "in_lan", "offered"),
    [
        (TlsMode.NONE, None, PlaintextAuth.NEVER, False, PROVES),
        (TlsMode.NONE, None, PlaintextAuth.NEVER, True, PROVES),
        (TlsMode.NONE, None, PlaintextAuth.LAN, False, PROVES),
        (TlsMode.NONE, None, PlaintextAuth.LAN, True, PROVES + SHOWS),
        (TlsMode.NONE, None, PlaintextAuth.ALWAYS, False, PROVES + SHOWS),
        (TlsMode.STARTTLS, None, PlaintextAuth.NEVER, False, PROVES),
        (TlsMode.STARTTLS, None, PlaintextAuth.ALWAYS, False, PROVES + SHOWS),
        (TlsMode.STARTTLS, TLS, PlaintextAuth.NEVER, False, BOUND + PROVES + SHOWS),
        (TlsMode.STARTTLS, UNBOUND, PlaintextAuth.NEVER, False, PROVES + SHOWS),
        (TlsMode.STARTTLS_REQUIRED, None, PlaintextAuth.ALWAYS, True, ()),
        (TlsMode.STARTTLS_REQUIRED, TLS, PlaintextAuth.NEVER, False, BOUND + PROVES + SHOWS),
        (TlsMode.IMPLICIT, TLS, PlaintextAuth.NEVER, False, BOUND + PROVES + SHOWS),
    ],
)
def test_what_is_offered_depends_on_the_protection(mode, tls, allowed, in_lan, offered):
    listener = replace(LISTENER, tls=mode, mechanisms=ALL, plaintext_auth=allowed)
    doorway = make_doorway(listener)

    assert doorway.mechanisms(tls, in_lan=in_lan) == offered
    refused = {m for m in ALL if doorway.refuse_mechanism(m, tls, in_lan=in_lan) is not None}
    assert refused == set(ALL) - set(offered)


@pytest.mark.parametrize(
    ("mode", "tls", "mechanism", "code"),
    [
        (TlsMode.STARTTLS, None, "PLAIN", 538),
        (TlsMode.STARTTLS, None, "SCRAM-SHA-256-PLUS", 538),
        (TlsMode.STARTTLS_REQUIRED, None, "PLAIN", 538),
        (TlsMode.STARTTLS_REQUIRED, None, "CRAM-MD5", 530),
        (TlsMode.STARTTLS, UNBOUND, "SCRAM-SHA-256-PLUS", 504),
        (TlsMode.STARTTLS, None, "DIGEST-MD5", 504),
        (TlsMode.STARTTLS, TLS, "DIGEST-MD5", 504),
    ],
)
def test_why_a_mechanism_cannot_be_used(mode, tls, mechanism, code):
    doorway = make_doorway(replace(LISTENER, tls=mode, mechanisms=ALL))

    assert doorway.refuse_mechanism(mechanism, tls, in_lan=False).code == code


def test_a_login_question_holds_the_facts():
    [asked] = talk(HELLO, PLAIN, tls=TLS).others

    question = asked.question
    assert (question.service, question.listener, question.client) == ("smtp", "mx", "192.0.2.1")
    assert (question.mechanism, question.login, question.tls) == ("PLAIN", "ann", True)


def test_every_challenge_is_new():
    listener = replace(LISTENER, mechanisms=ALL)
    one = talk(
        HELLO, *[b"AUTH CRAM-MD5\r\n", b64encode(b"ann 00") + b"\r\n"] * 3, listener=listener
    )

    challenges = [login.question.challenge for login in one.others]
    assert challenges == [b"<nonce-1>", b"<nonce-2>", b"<nonce-3>"]


def scram(*said, mechanisms=ALL, tls=TLS):
    listener = replace(LISTENER, mechanisms=mechanisms)
    opening = b"AUTH SCRAM-SHA-256 " + FIRST + b"\r\n"
    return talk(HELLO, opening, *said, listener=listener, tls=tls, answering=False)


def test_what_auth_says_in_between_is_the_next_challenge():
    one = scram()
    one.act(one.core.logged_in(LoginAnswer(LoginVerdict.CONTINUE, message=b"r=nonce")))
    one.send(FINAL + b"\r\n")

    assert one.codes[-1] == "334"
    first, second = (login.question for login in one.others)
    assert first.responses == (b"n,,n=ann,r=mine",)
    assert second.responses == (b"n,,n=ann,r=mine", b"c=biws,r=mine,p=proof")
    assert first.challenge == second.challenge == b"nonce-1"


def test_only_where_we_offer_to_bind_auth_hears_of_the_binding():
    bound, unbound = scram(), scram(mechanisms=("SCRAM-SHA-256",))

    assert bound.others[0].question.channel_binding == TLS.binding
    assert unbound.others[0].question.channel_binding == b""
    assert scram(tls=None).others[0].question.channel_binding == b""


def test_an_unreachable_auth_is_no_refusal_and_ends_the_exchange():
    one = scram()

    one.act(one.core.logged_in(None))
    one.send(FINAL + b"\r\n")

    assert one.codes[-2:] == ["454", "500"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (GRANTED, "235"),
        (LoginAnswer(LoginVerdict.REFUSED), "535"),
        (LoginAnswer(LoginVerdict.LOCKED), "454"),
        (LoginAnswer(LoginVerdict.CONTINUE), "454"),
        (LoginAnswer(LoginVerdict.GRANTED, login=""), "454"),
        (None, "454"),
    ],
    ids=["granted", "refused", "locked", "senseless", "granted to nobody", "none"],
)
def test_only_a_clear_answer_is_one(answer, code):
    one = talk(HELLO, PLAIN, tls=TLS, answering=False)

    one.act(one.core.logged_in(answer))

    assert one.codes[-1] == code


@pytest.mark.parametrize("answer", [None, LoginAnswer(LoginVerdict.LOCKED)])
def test_whoever_is_put_off_too_often_is_hung_up_on(answer):
    one = talk(HELLO, tls=TLS, answering=False, max_errors=3)
    for _ in range(3):
        one.send(PLAIN)
        one.act(one.core.logged_in(answer))

    assert one.codes[-4:] == ["454", "454", "454", "421"]
    assert one.core.is_closed


def test_a_login_travels_with_the_questions():
    one = talk(HELLO, PLAIN, ENVELOPE, b"DATA\r\n", b".\r\n", tls=TLS)

    assert one.asked[0].login == "ann"
    [(offer, _)] = one.mails
    assert (offer.submitter, offer.protocol) == ("ann", "ESMTPSA")


def test_tls_forgets_who_was_logged_in():
    listener = replace(LISTENER, plaintext_auth=PlaintextAuth.ALWAYS)

    one = talk(HELLO, PLAIN, b"STARTTLS\r\n", HELLO, ENVELOPE, listener=listener)

    assert one.asked[0].login == ""


def test_where_not_everybody_may_connect_auth_is_asked_before_the_first_word():
    one = talk(HELLO, listener=RESTRICTED, answering=False)

    assert one.said == b""
    assert one.others == [effects.Admit(AdmissionQuestion("mx", "192.0.2.1"))]
    one.act(one.core.admitted(AdmissionAnswer(admitted=True)))
    assert one.codes == ["220", "250"]


def test_where_everybody_may_connect_nobody_is_asked():
    assert talk(HELLO).others == []


def test_who_may_not_connect_hears_nothing_else():
    one = talk(listener=RESTRICTED, answering=False)

    one.act(one.core.admitted(AdmissionAnswer(admitted=False)))

    assert one.said == b"554 5.7.1 No SMTP service here for you\r\n"
    assert one.core.is_closed


def test_while_auth_cannot_say_nobody_comes_in():
    one = talk(listener=RESTRICTED, answering=False)

    one.act(one.core.admitted(None))

    assert one.codes == ["421"]
    assert one.core.is_closed


@pytest.mark.parametrize(("in_lan", "code"), [(True, "235"), (False, "538")])
def test_a_password_may_cross_the_lan_alone(in_lan, code):
    listener = replace(RESTRICTED, plaintext_auth=PlaintextAuth.LAN)
    one = talk(listener=listener, answering=False)

    one.act(one.core.admitted(AdmissionAnswer(admitted=True, in_lan=in_lan)))
    one.answering = True
    one.send(HELLO, PLAIN)

    assert one.codes[-1] == code


def test_what_comes_under_tls_before_we_know_of_it_is_heard():
    one = talk(listener=replace(LISTENER, tls=TlsMode.IMPLICIT), answering=False)

    one.send(HELLO)
    one.act(one.core.secured(TLS))

    assert one.codes == ["220", "250"]


def test_where_tls_comes_first_it_comes_before_everything():
    listener = replace(RESTRICTED, tls=TlsMode.IMPLICIT)

    one = talk(HELLO, listener=listener, answering=False)

    assert (one.said, one.others) == (b"", [effects.StartTls()])
    one.act(one.core.secured(TLS))
    assert isinstance(one.others[-1], effects.Admit)
    one.act(one.core.admitted(AdmissionAnswer(admitted=True)))
    assert one.codes == ["220", "250"]
    assert b"STARTTLS" not in one.said
