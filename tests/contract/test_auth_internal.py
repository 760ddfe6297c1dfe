"""What auth answers other services, over both databases."""

import asyncio
from datetime import timedelta

import pytest

from kernel.http import Peer, PeerUnavailableError
from kernel.model.address import Address
from kernel.model.questions import (
    Listener,
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    Place,
    RelayAnswer,
    RelayQuestion,
    TlsMode,
    Whereabouts,
)
from kernel.model.sending import Sending
from kernel.sasl import OFFERED
from kernel.srs import MAX_AGE, seal
from tests.support.auth import PASSWORD
from tests.support.mail import ANN, BOB, EVE

ADMIN_ADDRESS = Address("admin", "ours.test")


def asked(recipient, **more):
    facts = {"listener": "mx", "client": "203.0.113.9", "helo": "client.test", "sender": EVE}
    return RelayQuestion(recipient=recipient, **{**facts, **more})


async def relay(auth, *questions):
    return await auth.peer.ask("/internal/relay", questions, list[RelayAnswer])


async def log_in(auth, login, password, **more):
    question = LoginQuestion(
        "smtp", "submission", "203.0.113.9", "PLAIN", login, password, tls=True
    )
    return await auth.peer.ask("/internal/login", question, LoginAnswer)


async def test_many_questions_have_as_many_answers_in_order(auth):
    answers = await relay(
        auth,
        asked(ADMIN_ADDRESS),
        asked(BOB),
        asked(BOB, client="127.0.0.1"),
        asked(Address("nobody", "ours.test")),
        asked(BOB, listener="submission"),
        asked(BOB, listener="submission", login="admin", sender=ADMIN_ADDRESS),
        asked(BOB, listener="nothing"),
    )

    assert [(answer.rule, answer.reply.code) for answer in answers] == [
        ("local", 250),
        ("relay-denied", 550),
        ("lan", 250),
        ("no-such-user", 550),
        ("auth-required", 530),
        ("authenticated", 250),
        ("unknown-listener", 451),
    ]
    assert answers[5].submitter == "admin"
    assert await relay(auth) == []


async def test_a_sender_that_we_sealed_is_an_alias_and_a_forged_one_is_nobody(auth, clock):
    key = (await auth.peer.get("/internal/sending", Sending)).return_key
    ours = seal(BOB, "ours.test", key, clock())
    forged = seal(BOB, "ours.test", b"guessed", clock())

    async def rules():
        answers = await relay(auth, asked(ours, sender=None), asked(forged, sender=None))
        return [(answer.rule, answer.reply.code) for answer in answers]

    assert await auth.peer.ask("/internal/whereabouts", [ours, forged], list[Whereabouts]) == [
        Whereabouts(ours, Place.ALIAS, (BOB,)),
        Whereabouts(forged, Place.UNKNOWN),
    ]
    assert await rules() == [("local", 250), ("no-such-user", 550)]
    clock.advance(timedelta(days=MAX_AGE + 1))
    assert await rules() == [("no-such-user", 550), ("no-such-user", 550)]


async def test_whereabouts_come_in_batches(auth):
    addresses = [ADMIN_ADDRESS, BOB, Address("postmaster", "ours.test"), ANN]

    found = await auth.peer.ask("/internal/whereabouts", addresses, list[Whereabouts])

    assert found == [
        Whereabouts(ADMIN_ADDRESS, Place.MAILBOX, (ADMIN_ADDRESS,)),
        Whereabouts(BOB, Place.REMOTE, whole_domain=True),
        Whereabouts(Address("postmaster", "ours.test"), Place.ALIAS, (ADMIN_ADDRESS,)),
        Whereabouts(ANN, Place.UNKNOWN),
    ]


async def test_ingress_learns_its_listeners(auth):
    mx = await auth.peer.get("/internal/listeners/mx", Listener)
    submission = await auth.peer.get("/internal/listeners/submission", Listener)
    submissions = await auth.peer.get("/internal/listeners/submissions", Listener)

    assert (mx.tls, mx.mechanisms, mx.max_recipients) == (TlsMode.STARTTLS, (), 100)
    assert (submission.tls, submission.mechanisms) == (TlsMode.STARTTLS_REQUIRED, OFFERED)
    assert (submissions.tls, submissions.max_recipients) == (TlsMode.IMPLICIT, 1000)
    with pytest.raises(PeerUnavailableError, match="404"):
        await auth.peer.get("/internal/listeners/nothing", Listener)


async def test_a_login_is_a_name_or_an_address(auth):
    for login in ("admin", "ADMIN", "admin@ours.test", "Admin@OURS.test"):
        answer = await log_in(auth, login, PASSWORD)
        assert answer == LoginAnswer(
            LoginVerdict.GRANTED, "admin", administrator=True, mailbox=ADMIN_ADDRESS
        )

    for login in ("admin+x@ours.test", "postmaster@ours.test", "admin@elsewhere.test"):
        assert await log_in(auth, login, PASSWORD) == LoginAnswer(LoginVerdict.REFUSED)


STRANGERS = [
    ("admin", "wrong"),
    ("admin", ""),
    ("ghost", PASSWORD),
    ("", ""),
    ("admin", PASSWORD * 99),
]


async def test_whoever_is_refused_learns_nothing(auth):
    for login, password in STRANGERS:
        assert await log_in(auth, login, password) == LoginAnswer(LoginVerdict.REFUSED)


async def test_a_changed_password_ends_the_old_one_at_once(auth):
    await log_in(auth, "admin", PASSWORD)

    await auth.changed("/v1/users/admin", {"password": "a new one"})

    assert (await log_in(auth, "admin", PASSWORD)).verdict is LoginVerdict.REFUSED
    assert (await log_in(auth, "admin", "a new one")).verdict is LoginVerdict.GRANTED


async def test_failures_lock_out_for_a_while(auth, clock):
    for _ in range(5):
        assert (await log_in(auth, "admin", "wrong")).verdict is LoginVerdict.REFUSED

    assert (await log_in(auth, "admin", PASSWORD)).verdict is LoginVerdict.LOCKED
    assert (await log_in(auth, "admin@ours.test", PASSWORD)).verdict is LoginVerdict.LOCKED

    clock.now += timedelta(seconds=5)
    assert (await log_in(auth, "admin", PASSWORD)).verdict is LoginVerdict.GRANTED


async def test_many_guesses_at_once_get_no_more_answers_than_in_turn(auth):
    guesses = [log_in(auth, "admin", f"guess {n}") for n in range(12)]

    verdicts = [answer.verdict for answer in await asyncio.gather(*guesses)]

    assert verdicts.count(LoginVerdict.REFUSED) == 5
    assert verdicts.count(LoginVerdict.LOCKED) == 7


async def test_without_the_service_token_nothing_is_answered(auth):
    async with Peer(auth.url, "guessed") as stranger:
        for path in ("/internal/relay", "/internal/whereabouts", "/internal/login"):
            with pytest.raises(PeerUnavailableError, match="401"):
                await stranger.ask(path, [], list)
        with pytest.raises(PeerUnavailableError, match="401"):
            await stranger.get("/internal/listeners/mx", Listener)


async def test_an_administrator_is_no_service(auth):
    assert (await auth.call("POST", "/internal/relay", [])).status == 401


async def test_what_is_no_question_is_a_bad_request(auth):
    with pytest.raises(PeerUnavailableError, match="400"):
        await auth.peer.ask("/internal/relay", {"no": "question"}, list)
