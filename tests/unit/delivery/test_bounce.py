"""Reports, read by parsers that are not ours: Python's email and flufl.bounce."""

from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from flufl.bounce import scan_message

from kernel.model.address import Address
from kernel.model.envelope import Body, Recipient
from kernel.model.events import Stage
from kernel.model.reply import Reply
from services.delivery.core.bounce import bounce, report_id, returns_whole, to_report
from services.delivery.core.report import Facts, Returned, typed_address, unxtext
from services.delivery.core.routes import Host
from services.delivery.core.settle import Fate
from tests.support.mail import ANN, BOB, BUSY, CAT, GONE, MESSAGE, NOON, make_envelope, make_leg

MX = Host("mx.elsewhere.test", "192.0.2.1", 25)
GROESSE = Address.parse("größe@elsewhere.test")


def fate(recipient, reply=GONE, stage=Stage.FAILED):
    who = recipient if isinstance(recipient, Recipient) else Recipient(recipient)
    return Fate(who, stage, reply)


def report_on(*failures, leg=None, returned=None, remote=MX, **changes):
    leg = leg or make_leg(*(f.recipient.address for f in failures))
    leg = replace(leg, envelope=replace(leg.envelope, **changes))
    facts = Facts(leg.envelope, "mx.ours.test", "ours.test", remote, NOON)
    return bounce(leg, facts, failures, returned or Returned(MESSAGE, whole=True))


def parsed(envelope):
    message = message_from_bytes(envelope.content, policy=policy.default)
    return message, [*message.iter_parts()]


def status_of(envelope):
    groups = parsed(envelope)[1][1].get_payload()
    return [dict(group.items()) for group in groups]


def test_a_report_is_our_own_word():
    assert report_on(fate(BOB)).submitted


def test_a_report_is_a_delivery_status_report_of_three_parts():
    message, parts = parsed(report_on(fate(BOB)))

    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    assert message["From"].addresses[0].addr_spec == "MAILER-DAEMON@ours.test"
    assert message["To"].addresses[0].addr_spec == str(ANN)
    assert message["Auto-Submitted"] == "auto-replied"
    assert message.defects == []
    assert all(part.defects == [] for part in parts)


def test_it_comes_from_nobody_so_that_nobody_answers():
    envelope = report_on(fate(BOB))

    assert envelope.sender is None
    assert [recipient.address for recipient in envelope.recipients] == [ANN]
    assert envelope.received_at == NOON


def test_it_says_of_each_recipient_what_happened():
    bob = Recipient(BOB, orcpt="rfc822;Bob+2BOld@Elsewhere.test")
    envelope = report_on(fate(bob), fate(CAT, BUSY, Stage.EXPIRED), envid="order+3D7")

    message, about_bob, about_cat = status_of(envelope)

    assert message == {
        "Reporting-MTA": "dns; mx.ours.test",
        "Original-Envelope-Id": "order=7",
        "Arrival-Date": "Mon, 05 Jan 2026 12:00:00 +0000",
    }
    assert about_bob == {
        "Original-Recipient": "rfc822; Bob+Old@Elsewhere.test",
        "Final-Recipient": "rfc822; bob@elsewhere.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.elsewhere.test",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
        "Last-Attempt-Date": "Mon, 05 Jan 2026 12:00:00 +0000",
    }
    assert about_cat["Status"] == "4.4.7"
    assert "Original-Recipient" not in about_cat


def test_a_failure_of_our_own_names_no_remote():
    about_bob = status_of(report_on(fate(BOB), remote=None))[1]

    assert "Remote-MTA" not in about_bob
    assert about_bob["Diagnostic-Code"].startswith("x-postroom;")


def test_flufl_bounce_finds_the_failed():
    message = message_from_bytes(report_on(fate(BOB), fate(CAT)).content)

    assert scan_message(message) == {str(BOB).encode(), str(CAT).encode()}


def test_the_whole_message_comes_back_as_it_was():
    part = parsed(report_on(fate(BOB)))[1][2]

    assert MESSAGE.replace(b"\r\n", b"\n") in part.as_bytes()


def test_or_its_headers_alone():
    head = MESSAGE.partition(b"\r\n\r\n")[0]

    envelope = report_on(fate(BOB), returned=Returned(head, whole=False))

    part = parsed(envelope)[1][2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert "Subject: hello" in part.get_content()
    assert b"hi\r\n" not in envelope.content.partition(b"rfc822-headers")[2]


@pytest.mark.parametrize(
    ("size", "ret", "whole"),
    [
        (100, "", True),
        (100, "HDRS", False),
        (100, "hdrs", False),
        (100, "FULL", True),
        (100_000, "", False),
        (100_000, "FULL", False),
    ],
)
def test_the_sender_and_the_size_decide_how_much_comes_back(size, ret, whole):
    original = replace(make_envelope(BOB, content=b"x" * size), ret=ret)

    assert returns_whole(original) is whole


def test_what_must_stay_under_tls_comes_back_as_headers_under_tls():
    original = replace(make_envelope(BOB), ret="FULL", requiretls=True)

    assert not returns_whole(original)
    assert report_on(fate(BOB), requiretls=True).requiretls


def test_of_a_binary_message_headers_alone_come_back():
    assert not returns_whole(replace(make_envelope(BOB), ret="FULL", body=Body.BINARY))


def test_nobody_is_told_of_a_lost_report():
    assert to_report(make_leg(BOB, sender=None), [fate(BOB)]) == ()


@pytest.mark.parametrize(
    ("notify", "told"),
    [((), True), (("NEVER",), False), (("SUCCESS",), False), (("DELAY", "FAILURE"), True)],
)
def test_the_sender_is_told_what_it_asked_to_be_told(notify, told):
    failures = [fate(Recipient(BOB, notify=notify)), fate(CAT)]

    names = {f.recipient.address for f in to_report(make_leg(BOB, CAT), failures)}

    assert names == ({BOB, CAT} if told else {CAT})


def test_one_leg_has_one_report_however_often_it_is_made():
    assert report_on(fate(BOB)).id == report_on(fate(BOB)).id == report_id(make_leg(BOB))
    assert report_id(make_leg(BOB)) != report_id(make_leg(BOB, attempt=2))


def test_text_of_the_remote_does_no_harm():
    hostile = Reply(550, "5.1.1", "no\r\n\r\n--boundary\x1b[31m\nSubject: \x00fun ü" + "x" * 5000)

    envelope = report_on(fate(BOB, hostile))

    assert len(status_of(envelope)) == 2
    assert envelope.content.isascii()
    assert b"\x1b" not in envelope.content
    assert b"\x00" not in envelope.content
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998


def test_an_international_recipient_is_reported_in_ascii():
    envelope = report_on(fate(GROESSE))

    assert envelope.content.isascii()
    assert not envelope.smtputf8
    about = status_of(envelope)[1]
    assert about["Final-Recipient"] == r"utf-8; gr\x{F6}\x{DF}e@elsewhere.test"
    assert "größe@elsewhere.test" in parsed(envelope)[1][0].get_content()


def test_an_international_sender_is_told_in_its_own_letters():
    envelope = report_on(fate(BOB), sender=GROESSE)

    assert envelope.smtputf8
    assert envelope.body is Body.EIGHT_BIT
    assert "To: <größe@elsewhere.test>\r\n".encode() in envelope.content


def test_an_8bit_body_comes_back_as_8bit():
    original = "Subject: hello\r\n\r\nGrüße\r\n".encode()

    envelope = report_on(fate(BOB), returned=Returned(original, whole=True))

    assert envelope.body is Body.EIGHT_BIT
    assert original in envelope.content


@pytest.mark.parametrize(
    ("whole", "kind"), [(True, "message/global"), (False, "message/global-headers")]
)
def test_international_headers_come_back_encoded(whole, kind):
    original = "Subject: Grüße\r\n\r\n".encode()

    envelope = report_on(fate(BOB), returned=Returned(original, whole=whole))

    assert envelope.content.isascii()
    message = message_from_bytes(envelope.content)
    part = message.get_payload()[2]
    assert part.get_content_type() == kind
    assert part["Content-Transfer-Encoding"] == "base64"


def test_a_name_with_odd_letters_is_spelt_out():
    assert typed_address(Address("a+ü", "x.test")) == r"utf-8; a\x{2B}\x{FC}@x.test"
    assert unxtext("a+2Bb+3D+zz") == "a+b=+zz"
