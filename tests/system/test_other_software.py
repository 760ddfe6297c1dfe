"""Software that we did not write sends through us, and takes what we send."""

import json
import shutil
import subprocess

import pytest

from tests.support import postfix
from tests.support.brokers import install
from tests.support.stack import PASSWORD, STRANGER, make_stack, send, wait_until

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


def swaks(stack, listener: str, *options: str) -> subprocess.CompletedProcess:
    if not shutil.which("swaks"):
        install("swaks", "libnet-ssleay-perl", "libio-socket-ssl-perl")
    server = f"127.0.0.1:{stack.ports[listener]}"
    command = ["swaks", "--server", server, "--to", "swaks@remote.test", "--from", ANN, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(("listener", "tls"), [("submission", "--tls"), ("submissions", "-tlsc")])
def test_swaks_logs_in_and_sends(stack, mechanism, listener, tls):
    login = ["--auth", mechanism, "--auth-user", ANN, "--auth-password", PASSWORD]

    done = swaks(stack, listener, tls, *login, "--local-interface", STRANGER)

    assert done.returncode == 0, done.stdout


def test_swaks_without_a_login_is_refused(stack):
    done = swaks(stack, "mx", "--local-interface", STRANGER)

    assert "550 5.7.1" in done.stdout


@pytest.mark.parametrize(("listener", "scheme"), [("submission", "smtp"), ("submissions", "smtps")])
def test_curl_logs_in_and_sends(stack, tmp_path, listener, scheme):
    if not shutil.which("curl"):
        install("curl")
    letter = tmp_path / "letter"
    letter.write_bytes(b"From: ann@ours.test\r\nSubject: by curl\r\n\r\nhi\r\n")
    url = f"{scheme}://127.0.0.1:{stack.ports[listener]}/client.test"
    command = ["curl", "--silent", "--show-error", "--ssl-reqd", "--insecure", "--url", url]
    command += ["--user", f"{ANN}:{PASSWORD}", "--interface", STRANGER]
    command += ["--mail-from", ANN, "--mail-rcpt", "curl@remote.test", "--upload-file", str(letter)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
