"""Clients that others wrote log in, each in every way that it knows, and send."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support import clients
from tests.support.clients import Letter
from tests.support.stack import LAN_CLIENT, PASSWORD, STRANGER, wait_until

ANN, BEN = "ann@ours.test", "ben@ours.test"
LISTENERS = {"starttls": "submission", "implicit": "submissions", "none": "mx"}
WAYS = {
    clients.swaks: ("PLAIN", "LOGIN", "CRAM-MD5"),
    clients.curl: ("PLAIN", "LOGIN", "CRAM-MD5"),
    clients.msmtp: ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"),
    clients.nodemailer: ("PLAIN", "LOGIN", "CRAM-MD5"),
    clients.python: ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
}
EVERY_WAY = [(client, name) for client, names in WAYS.items() for name in names]
SHOW_NO_PASSWORD = [way for way in EVERY_WAY if way[1] in ("CRAM-MD5", "SCRAM-SHA-256")]
OFFERED = ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"]
BEST_WAYS = [(client, names[-1]) for client, names in WAYS.items()]


def ways(which):
    ids = [f"{client.__name__} {mechanism}" for client, mechanism in which]
    return pytest.mark.parametrize("way", which, ids=ids)


@pytest.fixture
def letter():
    """From a stranger's address, in Ann's name, to somebody to whom nobody else writes."""
    recipient = f"{uuid4().hex}@remote.test"
    return Letter(0, "starttls", "PLAIN", ANN, PASSWORD, ANN, recipient, STRANGER)


@pytest.fixture
def open_wire(stack):
    """A listener that logs users in without TLS, as some old ones have to."""
    path, mechanisms = "/v1/listeners/mx", ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256"]
    assert stack.call("auth", path, {"mechanisms": mechanisms}, "PATCH")[0] == 200
    wait_until(lambda: "auth" in offered(stack, "mx"), "the listener offers it")
    yield
    stack.call("auth", path, {"mechanisms": [], "plaintext_auth": "never"}, "PATCH")


def offered(stack, listener):
    with stack.smtp(listener, client=STRANGER) as session:
        session.ehlo()
        return session.esmtp_features


def send(stack, client, letter, **changes):
    letter = replace(letter, **changes)
    return client(replace(letter, port=stack.ports[LISTENERS[letter.tls]]))


@pytest.fixture(scope="module", autouse=True)
def every_mechanism(stack):
    """The listeners for users offer -PLUS as well."""
    for listener in ("submission", "submissions"):
        body = {"mechanisms": [*OFFERED, "SCRAM-SHA-256-PLUS"]}
        assert stack.call("auth", f"/v1/listeners/{listener}", body, "PATCH")[0] == 200
    wait_until(lambda: "PLUS" in offered(stack, "submissions")["auth"], "-PLUS is offered")
    yield
    for listener in ("submission", "submissions"):
        stack.call("auth", f"/v1/listeners/{listener}", {"mechanisms": OFFERED}, "PATCH")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@ways(EVERY_WAY)
def test_a_client_logs_in_and_sends(stack, sink, letter, way, tls):
    client, mechanism = way

    outcome = send(stack, client, letter, mechanism=mechanism, tls=tls)

    assert outcome.sent, outcome.talk
    assert f"AUTH {mechanism}" in outcome.talk
    (received,) = wait_until(lambda: sink.to(letter.recipient), "the remote has it")
    assert received.sender == ANN


@pytest.mark.usefixtures("open_wire")
@ways(SHOW_NO_PASSWORD)
def test_who_shows_no_password_needs_no_tls(stack, letter, way):
    client, mechanism = way

    outcome = send(stack, client, letter, mechanism=mechanism, tls="none")

    assert outcome.sent, outcome.talk


@pytest.mark.usefixtures("open_wire")
def test_a_password_does_not_cross_the_open_wire_unless_the_listener_says_so(stack, letter):
    assert "PLAIN" not in offered(stack, "mx")["auth"]
    refused = send(stack, clients.python, letter, tls="none")
    assert "538" in refused.talk

    stack.call("auth", "/v1/listeners/mx", {"plaintext_auth": "always"}, "PATCH")
    wait_until(lambda: "PLAIN" in offered(stack, "mx")["auth"], "the listener offers it")

    assert send(stack, clients.python, letter, tls="none").sent


@pytest.mark.usefixtures("open_wire")
def test_a_password_may_cross_the_lan(stack, letter):
    stack.call("auth", "/v1/listeners/mx", {"plaintext_auth": "lan"}, "PATCH")

    def answer(source):
        return send(stack, clients.python, letter, tls="none", source=source)

    wait_until(lambda: answer(LAN_CLIENT).sent, "the listener offers it to the LAN")
    assert "538" in answer(STRANGER).talk


@ways(BEST_WAYS)
def test_a_wrong_password_is_refused_to_everybody(stack, letter, way):
    client, mechanism = way

    outcome = send(stack, client, letter, mechanism=mechanism, login=BEN, password="wrong")

    assert not outcome.sent
    assert "535" in outcome.talk


@pytest.fixture(scope="module")
def app_password(stack):
    order = {"name": "phone", "purposes": ["send"]}
    status, made = stack.call("auth", f"/v1/users/{ANN}/app-passwords", order)
    assert status == 201, made
    return made["secret"]


@ways(EVERY_WAY)
def test_an_app_password_is_as_good(stack, letter, app_password, way):
    client, mechanism = way

    outcome = send(stack, client, letter, mechanism=mechanism, password=app_password)

    assert outcome.sent, outcome.talk


def test_an_app_password_is_good_until_it_is_revoked(stack, letter):
    path, order = f"/v1/users/{ANN}/app-passwords", {"name": "lost phone", "purposes": ["send"]}
    secret = stack.call("auth", path, order)[1]["secret"]
    assert send(stack, clients.python, letter, password=secret).sent

    stack.call("auth", f"{path}/lost%20phone", method="DELETE")

    assert "535" in send(stack, clients.python, letter, password=secret).talk


def test_whoever_guesses_is_put_off(stack, letter):
    stack.add_user("guessed@ours.test")
    guess = {"login": "guessed@ours.test", "password": "wrong", "source": "127.0.0.9"}

    answers = [send(stack, clients.python, letter, **guess).talk for _ in range(6)]

    assert ["535" in talk for talk in answers] == [True] * 5 + [False]
    assert "454" in answers[-1]


def test_who_does_not_log_in_is_refused(stack, letter):
    outcome = send(stack, clients.swaks, letter, tls="none", mechanism="")

    assert not outcome.sent
    assert "550 5.7.1" in outcome.talk
