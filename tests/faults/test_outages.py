"""What is away comes back, and mail flows again by itself. Meanwhile nobody is told a lie."""

import json
import signal
import smtplib

import pytest

from tests.support.sink import Sink
from tests.support.stack import STRANGER, free_port, make_stack, send, wait_until

ANN = "ann@ours.test"
MESSAGE = b"Subject: hi\r\n\r\nhi\r\n"


@pytest.mark.parametrize("kind", ["brokered"], indirect=True)
def test_an_unreachable_auth_service_means_not_now(stack, sink):
    stack.kill("auth")

    with stack.smtp() as session:
        session.mail(ANN)
        assert session.rcpt("someone@remote.test")[0] == 451
    with stack.smtp("submissions", client=STRANGER) as session:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            session.login(ANN, "a long enough password")
        assert refusal.value.smtp_code == 454

    stack.restart("auth")
    with stack.smtp() as session:
        send(session, ANN, ["back@remote.test"], MESSAGE)
    wait_until(lambda: sink.to("back@remote.test"), "mail flows again")


@pytest.mark.parametrize("kind", ["brokered"], indirect=True)
def test_an_unreachable_broker_means_not_now(stack, sink, broker):
    with broker.stopped():

        def is_turned_away():
            try:
                with stack.smtp() as session:
                    send(session, ANN, ["someone@remote.test"], MESSAGE)
            except smtplib.SMTPResponseException as refusal:
                return refusal.smtp_code in (421, 451)
            except smtplib.SMTPServerDisconnected:
                return False
            return False

        wait_until(is_turned_away, "mail is turned away for now")

    def is_taken():
        try:
            with stack.smtp() as session:
                return send(session, ANN, ["back@remote.test"], MESSAGE)
        except (smtplib.SMTPException, OSError):
            return False

    wait_until(is_taken, "mail is taken again", within=60)
    wait_until(lambda: sink.to("back@remote.test"), "mail flows again", within=60)


def test_waiting_mail_survives_a_restart(kind, tmp_path, request):
    urls = request.getfixturevalue("broker_urls") if kind == "brokered" else None
    port = free_port()
    stack = make_stack(
        kind,
        tmp_path,
        urls,
        routes=json.dumps({"*": f"127.0.0.1:{port}"}),
        delivery_retry=json.dumps([3, 3, 3, 3]),
    )
    stack.start()
    try:
        with stack.smtp() as session:
            mail = send(session, ANN, ["later@remote.test"], MESSAGE)
        wait_until(stack.waiting, "the mail waits")

        codes = stack.stop()
        assert set(codes.values()) == {0}, codes
        stack.start()

        assert [row["mail"] for row in stack.waiting()] in ([mail], [])
        remote = Sink(port).start()
        try:
            wait_until(lambda: remote.to("later@remote.test"), "the mail arrives")
        finally:
            remote.stop()
        wait_until(lambda: stack.stages(mail) == {"later@remote.test": "relayed"}, "it is traced")
    finally:
        stack.stop()


def test_an_interrupt_ends_everything_in_order(stack):
    for program in stack.programs.values():
        program.send(signal.SIGINT)

    assert {program.wait() for program in stack.programs.values()} == {0}
