"""A server that we did not write takes what we send."""

import json

import pytest

from tests.support import postfix
from tests.support.stack import make_stack, send, wait_until

ANN = "ann@ours.test"


@pytest.fixture(scope="module")
def remote():
    with postfix.private(postfix.keeping("remote.test")) as server:
        yield server


@pytest.fixture(scope="module")
def stack(kind, remote, tmp_path_factory, stack_urls):
    """A stack whose world is a Postfix."""
    routes = json.dumps({"*": f"127.0.0.1:{remote.port}"})
    folder = tmp_path_factory.mktemp("other")
    with stack_urls(kind) as urls, make_stack(kind, folder, urls, routes=routes).running() as stack:
        stack.add_user(ANN)
        yield stack


def test_a_postfix_takes_what_we_send_octet_for_octet(stack, remote):
    sent = (
        b"From: ann@ours.test\r\nDate: Mon, 5 Jan 2026 12:00:00 +0000\r\n"
        b"Message-ID: <1@ours.test>\r\n"
        b"Subject: from " + stack.kind.encode() + b"\r\n\r\n.dot\r\n..\r\nend\r\n"
    )

    with stack.smtp() as session:
        mail = send(session, ANN, ["someone@remote.test"], sent)

    wait_until(lambda: stack.stages(mail) == {"someone@remote.test": "relayed"}, "it is relayed")
    lines = sent.replace(b"\r\n", b"\n")
    wait_until(lambda: [m for m in remote.mailbox("all") if m.endswith(lines)], "it is kept")


def test_what_postfix_refuses_comes_back_as_a_report(stack):
    with stack.smtp() as session:
        mail = send(session, ANN, ["someone@not-here.test"], b"Subject: no\r\n\r\nhi\r\n")

    wait_until(
        lambda: stack.stages(mail) == {"someone@not-here.test": "failed"}, "Postfix refused it"
    )
    wait_until(
        lambda: [m for m in stack.mailbox(ANN) if b"not-here.test" in m and b"5.7.1" in m],
        "the report says so",
    )
