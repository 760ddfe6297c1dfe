"""Servers and clients that others wrote hand us their mail, each in its own way."""

import smtplib
import ssl
from uuid import uuid4

import pytest

from tests.support import clients, exim, postfix
from tests.support.clients import Letter
from tests.support.stack import LAN_CLIENT, PASSWORD, wait_until

ANN, BEN = "ann@ours.test", "ben@ours.test"
ORIGINAL = "Somebody.Else@Far.test"


@pytest.fixture
def mark():
    """What a mail has in it, and no other."""
    return uuid4().hex


@pytest.fixture(scope="module")
def sending_postfix(stack):
    """A Postfix that hands everything to us, under TLS."""
    onwards = f"relayhost = [127.0.0.1]:{stack.ports['mx']}\n"
    tls = "smtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\n"
    with postfix.private(f"{onwards}{tls}mynetworks = 127.0.0.0/8\n") as server:
        yield server


def arrived(stack, mark, reader=BEN):
    return [mail for mail in stack.mailbox(reader) if mark.encode() in mail]


@pytest.fixture
def refused(sink, mark):
    """A recipient whom the remote refuses."""
    sink.answer = lambda address: "550 5.1.1 No" if mark in address else None
    yield f"{mark}@remote.test"
    sink.answer = lambda _: None


def test_postfix_sends_as_written(stack, sending_postfix, mark):
    text = f"From: {ANN}\r\nSubject: {mark}\r\n\r\n.dot\r\n..\r\n{'long ' * 150}\r\n"
    with smtplib.SMTP("127.0.0.1", sending_postfix.port, "client.test") as session:
        session.sendmail(ANN, [BEN], text)

    (mail,) = wait_until(lambda: arrived(stack, mark), "Ben has it")
    assert b"with ESMTPS " in mail
    assert mail.endswith(text.partition("\r\n\r\n")[2].encode())


def test_postfix_tells_what_reports_its_sender_wants(stack, sending_postfix, mark, refused):
    asked = [f"ENVID=Case+3D{mark}", "RET=HDRS"], ["NOTIFY=FAILURE", f"ORCPT=rfc822;{ORIGINAL}"]
    with smtplib.SMTP("127.0.0.1", sending_postfix.port, "client.test") as session:
        session.sendmail(ANN, [refused], "Subject: x\r\n\r\nhi\r\n", *asked)

    check_report(stack, mark)


def check_report(stack, mark):
    """Ann is told, in the words that she gave with the mail, case and all (RFC 3461 §4)."""
    envelope = f"Original-Envelope-Id: Case={mark}"
    (report,) = wait_until(lambda: arrived(stack, envelope, ANN), "Ann is told")
    assert f"Original-Recipient: rfc822; {ORIGINAL}".encode() in report


def test_postfix_sends_many_in_a_row(stack, sending_postfix, mark):
    with smtplib.SMTP("127.0.0.1", sending_postfix.port, "client.test") as session:
        for number in range(10):
            session.sendmail(ANN, [BEN], f"Subject: {mark} {number}\r\n\r\nhi\r\n")

    wait_until(lambda: len(arrived(stack, mark)) == 10, "Ben has them all")


def test_exim_pipelines_and_sends_chunks(stack, mark, refused):
    sent = exim.send(
        stack.ports["mx"],
        "EHLO client.test\r\n"
        f"MAIL FROM:<{ANN}> RET=HDRS ENVID=Case+3D{mark}\r\n"
        f"RCPT TO:<{refused}> NOTIFY=FAILURE ORCPT=rfc822;{ORIGINAL}\r\n"
        f"RCPT TO:<{BEN}>\r\nDATA\r\nSubject: {mark}\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n",
    )

    assert " X=TLS" in sent.log
    assert " L K " in sent.log, "PIPELINING and CHUNKING were used"
    (mail,) = wait_until(lambda: arrived(stack, f"Subject: {mark}"), "Ben has it")
    assert mail.endswith(b"\r\n\r\n.dot\r\nend\r\n")
    check_report(stack, mark)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_mutt_logs_in_and_sends(stack, sink, tmp_path, mark, tls):
    certificate = tmp_path / "known.pem"
    place = ("127.0.0.1", stack.ports["submissions"])
    certificate.write_text(ssl.get_server_certificate(place))
    port = stack.ports[{"starttls": "submission", "implicit": "submissions"}[tls]]
    recipient = f"{mark}@remote.test"
    letter = Letter(port, tls, "PLAIN", ANN, PASSWORD, ANN, recipient, LAN_CLIENT)

    outcome = clients.mutt(letter, certificate)

    assert outcome.sent, outcome.talk
    (received,) = wait_until(lambda: sink.to(recipient), "the remote has it")
    assert received.sender == ANN
    assert b"with ESMTPSA" in received.content
