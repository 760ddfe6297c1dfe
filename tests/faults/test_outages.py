"""What is away comes back, and mail flows again by itself. Meanwhile nobody is told a lie."""

import json
import signal
import smtplib

import pytest

from tests.support.places import Detour
from tests.support.ports import free_port
from tests.support.sink import Sink
from tests.support.stack import STRANGER, make_stack, send, wait_until

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


def test_an_unreachable_broker_means_not_now(amqp_url, stack_urls, sink, tmp_path):
    routes = json.dumps({"*": f"127.0.0.1:{sink.port}"})
    with Detour(amqp_url) as detour, stack_urls("brokered") as urls:
        by_detour = {**urls, "bus": detour.by(urls["bus"])}
        with make_stack("brokered", tmp_path, by_detour, routes=routes).running() as stack:
            with detour.cut():
                wait_until(lambda: answer_to_mail(stack) in (421, 451), "mail is turned away")
            wait_until(lambda: answer_to_mail(stack) == 250, "mail is taken again", within=60)
            wait_until(lambda: sink.to("back@remote.test"), "mail flows again", within=60)


def answer_to_mail(stack) -> int:
    """Return the code that ended an attempt to send, or 0 for none."""
    try:
        with stack.smtp() as session:
            send(session, ANN, ["back@remote.test"], MESSAGE)
    except smtplib.SMTPResponseException as refusal:
        return refusal.smtp_code
    except (smtplib.SMTPException, OSError):
        return 0
    return 250


def test_waiting_mail_survives_a_restart(kind, tmp_path, stack_urls):
    port = free_port()
    settings = {
        "routes": json.dumps({"*": f"127.0.0.1:{port}"}),
        "delivery_retry": json.dumps([3, 3, 3, 3]),
    }
    with (
        stack_urls(kind) as urls,
        make_stack(kind, tmp_path, urls, **settings).running() as stack,
    ):
        with stack.smtp() as session:
            mail = send(session, ANN, ["later@remote.test"], MESSAGE)
        wait_until(stack.waiting, "the mail waits")

        codes = stack.stop()
        assert set(codes.values()) == {0}, codes
        stack.start()

        wait_until(stack.waiting, "the mail still waits")
        remote = Sink(port).start()
        try:
            wait_until(lambda: remote.to("later@remote.test"), "the mail arrives")
        finally:
            remote.stop()
        wait_until(lambda: stack.stages(mail) == {"later@remote.test": "relayed"}, "it is traced")


def test_an_interrupt_ends_everything_in_order(stack):
    for program in stack.programs.values():
        program.send(signal.SIGINT)

    assert {program.wait() for program in stack.programs.values()} == {0}
