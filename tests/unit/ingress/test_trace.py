from email import message_from_bytes

import pytest

from kernel.model.envelope import Body, Recipient
from services.ingress.core import admission, replies
from services.ingress.core.effects import Offer
from services.ingress.core.trace import fields_before, protocol
from tests.support.mail import ANN, BOB, CAT, MAIL_ID, NOON
from tests.unit.ingress.talk import TLS

OFFER = Offer(
    MAIL_ID, "mx", "192.0.2.1", "client.example", "ESMTPS", TLS, BOB, (Recipient(ANN),), ("local",),
    submitter="", body=Body.SEVEN_BIT, smtputf8=False, ret="", envid="",
)  # fmt: skip
HEAD = b"Subject: x\r\n\r\nhi\r\n"


def before(head=HEAD, **changes):
    return fields_before(OFFER._replace(**changes), head, "mx.ours.test", NOON)


def test_received_tells_where_a_mail_came_from():
    assert before() == (
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mx.ours.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid 01kdq5h4g0test000000000000\r\n"
        b"\tfor <ann@ours.test> (rule local);\r\n"
        b"\tMon, 05 Jan 2026 12:00:00 +0000\r\n"
    )


def test_several_recipients_are_not_told_of_one_another():
    fields = before(recipients=(Recipient(ANN), Recipient(CAT)), rules=("local", "lan"))

    assert b"for <" not in fields
    assert b"(rule local, lan);" in fields


def test_an_ipv6_client_is_an_ipv6_literal():
    assert b"([IPv6:2001:db8::1])" in before(client="2001:db8::1")


def test_submission_adds_what_is_missing():
    message = message_from_bytes(before(listener="submission") + HEAD)

    assert message["Date"] == "Mon, 05 Jan 2026 12:00:00 +0000"
    assert message["Message-ID"] == f"<{MAIL_ID}@mx.ours.test>"
    assert message["Subject"] == "x"


def test_submission_leaves_what_is_there():
    head = b"date: yesterday\r\nMESSAGE-ID: <1@x>\r\n\r\nDate: in the body\r\n"

    assert before(head, listener="submission") == before(head, listener="mx")


def test_relayed_mail_gets_neither():
    assert b"Message-ID" not in before()


@pytest.mark.parametrize("head", [b"\r\nbody\r\n", b"Subject: x\r\n", b"X-A : b\r\n\r\n"])
def test_a_header_is_not_parted_from_ours(head):
    assert not before(head).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("head", [b"just words\r\n", b"", b" folded: x\r\n", b"\xff: x\r\n"])
def test_a_body_does_not_become_header(head):
    assert before(head).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ((False, False, True, False), "SMTP"),
        ((True, False, False, False), "ESMTP"),
        ((True, False, True, False), "ESMTPS"),
        ((True, False, False, True), "ESMTPA"),
        ((True, False, True, True), "ESMTPSA"),
        ((True, True, False, False), "UTF8SMTP"),
        ((True, True, True, False), "UTF8SMTPS"),
        ((True, True, False, True), "UTF8SMTPA"),
        ((True, True, True, True), "UTF8SMTPSA"),
    ],
)
def test_the_protocol_has_a_registered_name(facts, name):
    extended, smtputf8, tls, login = facts

    assert protocol(extended=extended, smtputf8=smtputf8, tls=tls, login=login) == name


def test_only_received_fields_of_the_header_count_as_hops():
    hop = b"Received: from a\r\n\tby b\r\n"

    assert admission.judge_head(hop * 50 + b"\r\n" + hop * 50, 50) is None
    assert admission.judge_head(hop.lower() * 51, 50) == replies.TOO_MANY_HOPS
    assert admission.judge_head((b"Received: a\r\n" * 51)[:-2], 50) == replies.TOO_MANY_HOPS


def test_no_limit_is_no_limit():
    assert admission.judge_size(10**12, 0) is None
    assert admission.judge_size(10, 10) is None
    assert admission.judge_size(11, 10) == replies.TOO_BIG
