"""Who may relay, from the outside: real clients, real addresses, the answers they see."""

import json
import re
import smtplib

import pytest

from tests.support.stack import DOMAIN, LAN_CLIENT, PASSWORD, STRANGER, send, wait_until

ANN = "ann@ours.test"
MESSAGE = b"From: x@y.test\r\nSubject: hi\r\n\r\nhi\r\n"


def test_a_machine_on_the_lan_reaches_local_users_and_the_world(stack, sink):
    with stack.smtp() as session:
        local = send(session, "printer@lan.test", [ANN], MESSAGE)
        remote = send(session, ANN, ["lan@remote.test"], MESSAGE)

    wait_until(lambda: stack.stages(local) == {ANN: "delivered"}, "the local mail is delivered")
    wait_until(lambda: sink.to("lan@remote.test"), "the remote has the mail")
    wait_until(lambda: stack.stages(remote) == {"lan@remote.test": "relayed"}, "it is traced")


def test_a_stranger_reaches_local_users(stack):
    with stack.smtp(client=STRANGER) as session:
        mail = send(session, "stranger@elsewhere.test", [ANN], MESSAGE)

    wait_until(lambda: stack.stages(mail) == {ANN: "delivered"}, "the mail is delivered")


@pytest.mark.parametrize(
    ("recipient", "answer"),
    [
        ("someone@remote.test", (550, b"5.7.1")),
        ("someone%remote.test@other.test", (550, b"5.7.1")),
        ("@ours.test:someone@remote.test", (550, b"5.7.1")),
        ("someone@[192.0.2.1]", (550, b"5.7.1")),
        (f"nobody@{DOMAIN}", (550, b"5.1.1")),
    ],
    ids=["remote", "percent hack", "source route", "literal", "unknown user"],
)
def test_a_stranger_reaches_nobody_else(stack, recipient, answer):
    with stack.smtp(client=STRANGER) as session:
        session.ehlo()
        session.mail("stranger@elsewhere.test")
        code, text = session.docmd(f"RCPT TO:<{recipient}>")

    assert (code, text[:5]) == answer


@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_a_user_elsewhere_logs_in_and_sends_anywhere(stack, sink, listener):
    recipient = f"{listener}@remote.test"

    with stack.smtp(listener, client=STRANGER, login=ANN) as session:
        mail = send(session, ANN, [recipient], MESSAGE)

    (received,) = wait_until(lambda: sink.to(recipient), "the remote has the mail")
    assert received.sender == ANN
    wait_until(lambda: stack.mail(mail).get("submitter") == ANN, "the ledger knows whose it is")


def login_answer(stack, login: str, password: str) -> int:
    with stack.smtp("submissions", client=STRANGER) as session:
        try:
            return session.login(login, password)[0]
        except smtplib.SMTPAuthenticationError as refusal:
            return refusal.smtp_code


def test_a_wrong_password_is_refused(stack):
    assert login_answer(stack, ANN, "not the password") == 535


def test_submission_wants_tls_before_anything_else(stack):
    with stack.smtp("submission") as session:
        session.ehlo()

        assert "auth" not in session.esmtp_features
        assert session.mail(ANN)[0] == 530


def test_submission_wants_a_login(stack):
    with stack.smtp("submissions") as session:
        session.ehlo()
        session.mail(ANN)

        code, text = session.rcpt("someone@remote.test")

    assert (code, text[:5]) == (530, b"5.7.0")


def test_a_user_may_not_write_in_anothers_name(stack):
    with stack.smtp("submissions", client=STRANGER, login=ANN) as session:
        session.mail("ben@ours.test")

        code, text = session.rcpt("someone@remote.test")

    assert (code, text[:5]) == (553, b"5.7.1")


def test_a_user_without_the_privilege_does_not_relay(stack):
    stack.add_user("kim@ours.test", may_relay=False)

    with stack.smtp("submissions", client=STRANGER, login="kim@ours.test") as session:
        session.mail("kim@ours.test")
        local = session.rcpt(ANN)[0]
        remote = session.rcpt("someone@remote.test")[0]

    assert (local, remote) == (250, 550)


def test_a_disabled_user_is_locked_out_at_once(stack):
    stack.add_user("leaver@ours.test")
    assert login_answer(stack, "leaver@ours.test", PASSWORD) == 235

    stack.call("auth", "/v1/users/leaver@ours.test", {"disabled": True}, "PATCH")

    assert login_answer(stack, "leaver@ours.test", PASSWORD) == 535


def test_a_new_network_may_relay_within_a_second(stack):
    def answer():
        with stack.smtp(client="127.0.0.3") as session:
            session.ehlo()
            session.mail("scanner@lan.test")
            return session.rcpt("someone@remote.test")[0]

    assert answer() == 550

    assert stack.call("auth", "/v1/networks", {"cidr": "127.0.0.3/32"})[0] == 201

    wait_until(lambda: answer() == 250, "the network is known", within=1)


@pytest.fixture
def roaming(stack):
    """An address from which Ann has just collected her mail, and a listener that counts it."""
    client = "127.0.0.4"
    stack.call("auth", "/v1/networks", {"cidr": f"{client}/32"})  # or loopback gets no grant
    listener = {"collection_grants": True}
    assert stack.call("auth", "/v1/listeners/mx", listener, "PATCH")[0] == 200
    report = {"service": "imap", "user": ANN, "client": client}
    status, answer = stack.call("auth", "/v1/logins", report)
    assert (status, answer["granted"]) == (200, True), answer
    yield client
    stack.call("auth", "/v1/listeners/mx", {"collection_grants": False}, "PATCH")
    stack.call("auth", f"/v1/networks/{client}/32", method="DELETE")


def story_of(stack, mail):
    """Return the rules and the submitter in the mail log, and the rules in the timeline."""
    wait_until(lambda: stack.mail(mail).get("timeline"), "the ledger knows it")
    (accepted,) = wait_until(lambda: accepted_lines(stack, mail), "it stands in the mail log")
    timeline = stack.mail(mail)["timeline"]
    rules = [entry["detail"] for entry in timeline if entry["stage"] == "accepted"]
    return accepted["rules"], accepted.get("submitter", ""), rules


def accepted_lines(stack, mail):
    program = stack.programs.get("ingress") or stack.programs["all"]
    lines = program.log.read_text().splitlines(keepends=True)
    told = [json.loads(line) for line in lines if mail in line and line.endswith("\n")]
    return [line for line in told if line["event"] == "accepted"]


def rule_in(content):
    """Return the rule that our ``Received`` field names."""
    (rule,) = re.findall(rb"\(rule ([^)]*)\);\r\n", content)
    return rule.decode()


@pytest.mark.parametrize(
    ("rule", "how"),
    [("lan", {"client": LAN_CLIENT}), ("authenticated", {"listener": "submission", "login": ANN})],
    ids=["lan", "authenticated"],
)
def test_the_rule_that_let_a_mail_in_can_be_seen(stack, sink, rule, how):
    recipient, login = f"{rule}@rules.test", how.get("login", "")

    with stack.smtp(**how) as session:
        mail = send(session, ANN, [recipient], MESSAGE)

    (received,) = wait_until(lambda: sink.to(recipient), "the remote has the mail")
    assert story_of(stack, mail) == ([rule], login, [rule])
    assert rule_in(received.content) == rule


def test_mail_under_a_grant_is_logged_under_its_user(stack, sink, roaming):
    with stack.smtp(client=roaming) as session:
        mail = send(session, ANN, ["grant@rules.test"], MESSAGE)

    (received,) = wait_until(lambda: sink.to("grant@rules.test"), "the remote has the mail")
    assert story_of(stack, mail) == (["collection-grant"], ANN, ["collection-grant"])
    assert rule_in(received.content) == "collection-grant"
    assert stack.mail(mail)["submitter"] == ANN


def test_a_listener_may_be_for_the_lan_alone(stack):
    def greeting(client):
        try:
            with stack.smtp(client=client):
                return 220
        except smtplib.SMTPConnectError as refusal:
            return refusal.smtp_code

    stack.call("auth", "/v1/listeners/mx", {"access": ["lan"]}, "PATCH")
    try:
        wait_until(lambda: greeting(STRANGER) == 554, "strangers are turned away", within=1)
        assert greeting(LAN_CLIENT) == 220
    finally:
        stack.call("auth", "/v1/listeners/mx", {"access": ["any"]}, "PATCH")
    wait_until(lambda: greeting(STRANGER) == 220, "strangers may come again", within=1)


def test_strangers_do_not_reach_the_apis(stack):
    for service, path in [("auth", "/v1/users"), ("ledger", "/v1/waiting")]:
        assert stack.call(service, path, password="wrong")[0] == 401
    status, _ = stack.call("auth", "/internal/relay", [])
    assert status in (401, 403)
