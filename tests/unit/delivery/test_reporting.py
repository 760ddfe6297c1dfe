"""Reports, read by parsers that are not ours: Python's email and flufl.bounce."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from flufl.bounce import scan_message
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import Body, Recipient
from kernel.model.events import Stage
from kernel.model.reply import Reply
from services.delivery.adapters.templates import load_templates
from services.delivery.core.report import Returned
from services.delivery.core.reporting import (
    copy_for_postmaster,
    report_id,
    report_to_sender,
    returns_whole,
    to_postmaster,
    to_report,
)
from services.delivery.core.routes import Host
from services.delivery.core.settle import FAILURES, Fate, Retry, Settlement
from services.delivery.core.templates import Kind, parse
from services.delivery.core.wording import Facts
from services.delivery.core.xtext import original_of, said, typed
from tests.support.mail import (
    AN_HOUR_LATER,
    ANN,
    BOB,
    BUSY,
    CAT,
    EVE,
    GONE,
    MESSAGE,
    NOON,
    OK,
    make_envelope,
    make_leg,
)

MX = Host("mx.elsewhere.test", "192.0.2.1", 25)
OURS = load_templates()
GROESSE = Address.parse("größe@elsewhere.test")


def fate(recipient, reply=GONE, stage=Stage.FAILED):
    who = recipient if isinstance(recipient, Recipient) else Recipient(recipient)
    return Fate(who, stage, reply)


def leg_of(*fates, **changes):
    leg = make_leg(*(f.recipient.address for f in fates))
    return replace(leg, envelope=replace(leg.envelope, **changes))


def facts_of(leg, remote=MX, **changes):
    until = NOON + timedelta(days=4, hours=20)
    return replace(Facts(leg.envelope, "mx.ours.test", "ours.test", remote, NOON, until), **changes)


def report_on(*fates, returned=None, remote=MX, tried=True, templates=OURS, **changes):
    leg = leg_of(*fates, **changes)
    facts = facts_of(leg, remote, tried=tried)
    returned = returned or Returned(MESSAGE, whole=True)
    return report_to_sender(leg, facts, fates, returned, templates)


def settled(*fates):
    waiting = [f.recipient.address for f in fates if f.stage is Stage.DEFERRED]
    retry = Retry(make_leg(*waiting, attempt=2), AN_HOUR_LATER, BUSY) if waiting else None
    return Settlement(fates, retry)


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

    assert returns_whole(original, [fate(BOB)]) is whole


def test_what_must_stay_under_tls_comes_back_as_headers_under_tls():
    original = replace(make_envelope(BOB), ret="FULL", requiretls=True)

    assert not returns_whole(original, [fate(BOB)])
    assert report_on(fate(BOB), requiretls=True).requiretls


def test_nobody_is_told_of_a_lost_report():
    assert to_report(make_leg(BOB, sender=None), settled(fate(BOB)), late=True) == ()


@pytest.mark.parametrize(
    ("stage", "notify", "submitted", "told"),
    [
        (Stage.FAILED, (), False, True),
        (Stage.FAILED, ("NEVER",), True, False),
        (Stage.FAILED, ("SUCCESS",), True, False),
        (Stage.FAILED, ("DELAY", "FAILURE"), False, True),
        (Stage.EXPIRED, (), False, True),
        (Stage.EXPIRED, ("DELAY",), True, False),
        (Stage.DELIVERED, (), True, False),
        (Stage.DELIVERED, ("SUCCESS",), False, True),
        (Stage.DELIVERED, ("FAILURE",), True, False),
        (Stage.RELAYED, ("SUCCESS", "DELAY"), False, True),
        (Stage.EXPANDED, ("SUCCESS",), False, True),
        (Stage.EXPANDED, (), True, False),
        (Stage.DEFERRED, (), True, True),
        (Stage.DEFERRED, (), False, False),
        (Stage.DEFERRED, ("DELAY",), False, True),
        (Stage.DEFERRED, ("FAILURE", "SUCCESS"), True, False),
        (Stage.DEFERRED, ("NEVER",), True, False),
    ],
)
def test_the_sender_is_told_what_it_asked_to_be_told(stage, notify, submitted, told):
    news = fate(Recipient(BOB, notify=notify), stage=stage)

    leg = leg_of(news, submitted=submitted)

    assert to_report(leg, settled(news), late=True) == ((news,) if told else ())


def test_of_those_who_wait_it_hears_when_it_is_late():
    news = fate(Recipient(BOB, notify=("DELAY",)), BUSY, Stage.DEFERRED)

    assert to_report(make_leg(BOB), settled(news), late=False) == ()


def test_a_server_that_was_told_the_wishes_reports_itself_on_what_it_takes_over():
    relayed = fate(Recipient(BOB, notify=("SUCCESS", "FAILURE")), OK, Stage.RELAYED)
    refused = fate(Recipient(CAT, notify=("SUCCESS", "FAILURE")))

    told = to_report(make_leg(BOB, CAT), settled(relayed, refused), passed_dsn=True)

    assert told == (refused,)


def test_a_leg_that_was_not_tried_is_late_for_all_of_its_recipients():
    leg = leg_of(fate(BOB), fate(CAT), submitted=True)
    untried = Settlement((), Retry(leg, AN_HOUR_LATER, BUSY))

    told = to_report(leg, untried, late=True)

    assert [(f.recipient.address, f.stage, f.reply) for f in told] == [
        (BOB, Stage.DEFERRED, BUSY),
        (CAT, Stage.DEFERRED, BUSY),
    ]
    assert untried.told(told).retry.leg.late
    assert not untried.told(()).retry.leg.late


recipients = st.builds(
    Recipient,
    st.sampled_from([ANN, BOB, CAT]),
    notify=st.sampled_from([(), ("NEVER",), ("SUCCESS",), ("FAILURE", "DELAY")]),
)
outcomes = st.sampled_from(
    [s for s in Stage if s not in {Stage.ACCEPTED, Stage.ROUTED, Stage.CANCELLED}]
)


@given(
    fates=st.lists(st.builds(fate, recipients, stage=outcomes), max_size=4),
    late=st.booleans(),
    passed_dsn=st.booleans(),
    submitted=st.booleans(),
)
def test_nobody_hears_of_anything_twice_nor_of_what_they_never_wanted(
    fates, late, passed_dsn, submitted
):
    leg = leg_of(*fates, submitted=submitted)

    told = to_report(leg, settled(*fates), late=late, passed_dsn=passed_dsn)

    assert Counter(told) <= Counter(fates)
    assert not any("NEVER" in f.recipient.notify for f in told)
    failures = [f for f in fates if f.stage in FAILURES and f.recipient.notify == ()]
    assert [f for f in told if f in failures] == failures


def test_the_postmaster_gets_what_failed_and_nothing_else():
    failed, delivered = fate(BOB), fate(CAT, OK, Stage.DELIVERED)
    told = (failed, delivered)

    assert to_postmaster(make_leg(BOB), settled(*told), told, [ANN]) == (failed,)
    assert to_postmaster(make_leg(BOB), settled(*told), told, []) == ()
    assert to_postmaster(make_leg(BOB), settled(*told), (), [ANN]) == ()


def test_the_postmaster_hears_of_a_report_that_nobody_takes():
    quiet = fate(Recipient(BOB, notify=("NEVER",)))

    assert to_postmaster(make_leg(BOB, sender=None), settled(quiet), (), [ANN]) == (quiet,)


@pytest.mark.parametrize(
    ("postmaster", "recipient"),
    [
        (ANN, Recipient(ANN)),
        (ANN, Recipient(Address("ANN", "ours.test"))),
        (ANN, Recipient(BOB, orcpt="rfc822;ann@ours.test")),
        (GROESSE, Recipient(GROESSE)),
        (GROESSE, Recipient(BOB, orcpt=r"utf-8;gr\x{F6}\x{DF}e@elsewhere.test")),
    ],
    ids=["itself", "in capitals", "behind an alias", "international", "international alias"],
)
def test_no_copy_begets_a_copy(postmaster, recipient):
    lost = fate(recipient)

    leg = replace(make_leg(sender=None), envelope=leg_of(lost, sender=None).envelope)
    leg = replace(leg, envelope=replace(leg.envelope, recipients=(recipient,)))

    assert to_postmaster(leg, settled(lost), (), [postmaster]) == ()


def test_a_copy_has_the_headers_and_the_null_sender_and_an_id_of_its_own():
    leg = leg_of(fate(BOB))
    headers = Returned(MESSAGE.partition(b"\r\n\r\n")[0], whole=False)

    copy = copy_for_postmaster(leg, facts_of(leg), [fate(BOB)], headers, OURS, to=(ANN, CAT))

    message, parts = parsed(copy)
    assert copy.sender is None
    assert [r.address for r in copy.recipients] == [ANN, CAT]
    assert all(r.notify == ("NEVER",) for r in copy.recipients)
    assert copy.id not in {report_id(leg), report_id(leg, late=True)}
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == f"{ANN}, {CAT}"
    assert message["Subject"] == f"Mail from {ANN} could not be delivered"
    assert parts[2].get_content_type() == "text/rfc822-headers"
    assert status_of(copy)[1]["Action"] == "failed"


def test_one_leg_has_one_report_however_often_it_is_made():
    assert report_on(fate(BOB)).id == report_on(fate(BOB)).id == report_id(make_leg(BOB))
    assert report_id(make_leg(BOB)) != report_id(make_leg(BOB, attempt=2))


def test_a_report_of_delay_alone_is_another_than_the_one_that_may_follow():
    late = report_on(fate(BOB, BUSY, Stage.DEFERRED), tried=False)

    assert late.id == report_id(make_leg(BOB), late=True) != report_id(make_leg(BOB))


def test_a_report_of_delay_says_how_long_it_is_tried():
    about = status_of(report_on(fate(BOB, BUSY, Stage.DEFERRED)))[1]

    assert about["Action"] == "delayed"
    assert about["Status"] == "4.3.0"
    assert about["Will-Retry-Until"] == "Sat, 10 Jan 2026 08:00:00 +0000"
    assert about["Last-Attempt-Date"] == "Mon, 05 Jan 2026 12:00:00 +0000"


def test_what_was_not_tried_had_no_last_attempt():
    about = status_of(report_on(fate(BOB, BUSY, Stage.DEFERRED), remote=None, tried=False))[1]

    assert "Last-Attempt-Date" not in about


@pytest.mark.parametrize(
    ("stage", "reply", "remote", "expected"),
    [
        (Stage.DELIVERED, OK, None, {"Action": "delivered", "Status": "2.0.0"}),
        (Stage.EXPANDED, Reply(250, "2.1.5", "x"), None, {"Action": "expanded", "Status": "2.1.5"}),
        (Stage.RELAYED, OK, MX, {"Action": "relayed", "Diagnostic-Code": "smtp; 250 2.0.0 OK"}),
        (Stage.FAILED, Reply(550, "", "no"), MX, {"Action": "failed", "Status": "5.0.0"}),
        (Stage.FAILED, Reply(550, "2.1.5", "?"), MX, {"Action": "failed", "Status": "5.0.0"}),
    ],
)
def test_action_and_status_agree(stage, reply, remote, expected):
    about = status_of(report_on(fate(BOB, reply, stage), remote=remote))[1]

    assert expected.items() <= about.items()
    assert ("Diagnostic-Code" in about) is (remote is not None)


def test_only_a_failure_brings_the_whole_message_back():
    happy = fate(BOB, OK, Stage.DELIVERED)

    assert not returns_whole(make_envelope(BOB), [happy])
    assert returns_whole(make_envelope(BOB), [happy, fate(CAT)])


def test_news_of_all_kinds_stand_in_one_report_under_the_gravest_subject():
    envelope = report_on(
        fate(ANN, OK, Stage.DELIVERED), fate(BOB, BUSY, Stage.DEFERRED), fate(CAT), fate(EVE)
    )

    message, parts = parsed(envelope)
    assert message["Subject"] == "Your message could not be delivered"
    actions = [group["Action"] for group in status_of(envelope)[1:]]
    assert actions == ["delivered", "delayed", "failed", "failed"]
    text = parts[0].get_content()
    assert text.count("This is the mail system at mx.ours.test.") == 1
    assert text.index(str(CAT)) < text.index(str(BOB)) < text.index(str(ANN))
    assert "until\nSat, 10 Jan 2026 08:00:00 +0000" in text.replace("\r", "")


def test_a_person_reads_the_address_that_it_wrote_to():
    behind = Recipient(BOB, orcpt="rfc822;Sales+2Bx@ours.test")

    text = parsed(report_on(fate(behind)))[1][0].get_content()

    assert "<Sales+x@ours.test> (<bob@elsewhere.test>):" in text


def test_words_of_an_administrator_arrive_in_their_own_letters():
    german = parse("Subject: Nicht zustellbar: Ihre Grüße\n\nLeider.\n\n$recipients".encode())

    envelope = report_on(fate(BOB), templates={**OURS, Kind.FAILED: german})

    message, parts = parsed(envelope)
    assert envelope.content.isascii()
    assert message["Subject"] == "Nicht zustellbar: Ihre Grüße"
    assert parts[0].get_content().startswith("Leider.")
    assert message.defects == []


def test_a_line_that_is_too_long_for_mail_is_encoded():
    endless = parse(b"Subject: x\n\n" + b"word " * 1000)

    envelope = report_on(fate(BOB), templates={**OURS, Kind.FAILED: endless})

    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998
    assert parsed(envelope)[1][0].get_content().count("word") == 1000


def test_placeholders_in_the_words_of_a_remote_stay_what_they_are():
    sly = Reply(550, "5.1.1", "see $sender and $$ and ${domain}")

    text = parsed(report_on(fate(BOB, sly)))[1][0].get_content()

    assert "see $sender and $$ and ${domain}" in " ".join(text.split())


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
    assert typed(Address("a+ü", "x.test")) == r"utf-8; a\x{2B}\x{FC}@x.test"
    assert said("a+2Bb+3D+zz") == "a+b=+zz"
    assert original_of(r"utf-8;gr\x{F6}\x{DF}e\x{2B}@x.test") == "größe+@x.test"
    assert original_of(r"utf-8;\x{FFFFFF}@x.test") == r"\x{FFFFFF}@x.test"
    assert original_of(r"rfc822;a\x{F6}+2Bb@x.test") == r"a\x{F6}+b@x.test"
