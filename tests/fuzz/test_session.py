"""Whatever client, auth and store say, in whatever order, a session keeps to its rules."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.model.questions import TlsMode
from services.ingress.core import effects
from tests.fuzz.conversation import Conversation, Do, Say, make_listener
from tests.fuzz.words import MAIL, WORDS

LISTENERS = st.integers(0, 2**16).map(make_listener)
STEPS = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.just(Say.YES),
        st.sampled_from(Say),
        st.just(Say.YES),
        st.binary(max_size=80),
        st.sampled_from(WORDS),
        st.sampled_from(Do) | st.just(b"NOOP\r\n"),
    ),
    max_size=60,
)


@settings(max_examples=2500)
@given(LISTENERS, STEPS)
def test_whatever_is_said_the_rules_hold(listener, steps):
    Conversation(listener).play(steps)


@settings(max_examples=2500)
@given(LISTENERS, STEPS)
def test_inside_a_mail_they_hold_as_well(listener, steps):
    begun = [Say.YES, *(step for line in MAIL for step in (line, Say.YES, Say.YES))]
    Conversation(listener).play([*begun, *steps])


@settings(max_examples=100)
@given(LISTENERS, st.binary(max_size=3_000))
def test_so_they_do_for_noise(listener, noise):
    Conversation(listener).play([Say.YES, noise, Say.YES, noise])


def test_whoever_was_sent_away_before_tls_is_asked_nothing_more():
    implicit = next(
        one
        for one in map(make_listener, range(2**16))
        if one.tls is TlsMode.IMPLICIT and one.restricted
    )

    sent_away = Conversation(implicit).play([Do.LEAVE, Say.YES])

    assert sent_away.is_closed


def test_who_has_not_confirmed_what_auth_granted_is_not_logged_in():
    listener = next(
        one
        for one in map(make_listener, range(2**16))
        if one.tls is TlsMode.STARTTLS and {"SCRAM-SHA-256", "PLAIN"} <= set(one.mechanisms)
    )
    hello = b"EHLO client.example\r\n"
    under_tls = [Say.YES, hello, b"STARTTLS\r\n", Say.YES, hello]
    scram = [b"AUTH SCRAM-SHA-256 biwsbj1hbm4scj14\r\n", Say.GO_ON, b"STARTTLS\r\n", Say.YES]

    one = Conversation(listener).play([*under_tls, *scram])
    assert one.is_granted
    assert not one.login

    one.play([hello, b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"])
    assert isinstance(one.waits_for, effects.Login)
