"""A message's way, end to end."""

import email
import email.policy
import itertools
import os
import re

import dkim
import pytest
from flufl.bounce import all_failures

from tests.support.sink import Sink
from tests.support.stack import queued_id, send, wait_until

ANN, BEN = "ann@ours.test", "ben@ours.test"


def message(subject: str, body: bytes = b"hi\r\n") -> bytes:
    return (
        b"From: ann@ours.test\r\nTo: x@y.test\r\nSubject: " + subject.encode() + b"\r\n\r\n" + body
    )


def in_mailbox(stack, address: str, subject: str) -> list[bytes]:
    return [mail for mail in stack.mailbox(address) if f"Subject: {subject}\r\n".encode() in mail]


def test_the_local_copy_is_the_message_octet_for_octet_under_its_trace(stack):
    sent = message("octets", b".dot\r\n..dots\r\n\xff\x00long" + b"x" * 2000 + b"\r\n\r\nend\r\n")
    sent = sent.replace(b"\x00", b"")

    with stack.smtp() as session:
        send(session, "printer@lan.test", [ANN], sent)

    (kept,) = wait_until(lambda: in_mailbox(stack, ANN, "octets"), "it is in the mailbox")
    trace, copy = kept[: -len(sent)], kept[-len(sent) :]
    assert copy == sent
    assert trace.startswith(b"Return-Path: <printer@lan.test>\r\n")
    assert re.search(rb"^Received: from client\.test \(.*127\.0\.0\.1", trace, re.MULTILINE)


def test_a_large_message_goes_by_way_of_the_blob_store_and_leaves_nothing_behind(stack, sink):
    body = os.urandom(1_500_000).hex("|", 30).replace("|", "\r\n")
    sent = message("large", body.encode() + b"\r\n")

    with stack.smtp() as session:
        mail = send(session, ANN, [BEN, "large@remote.test"], sent)

    (received,) = wait_until(lambda: sink.to("large@remote.test"), "the remote has it")
    (kept,) = wait_until(lambda: in_mailbox(stack, BEN, "large"), "it is in the mailbox")
    assert received.content.endswith(sent)
    assert kept.endswith(sent)
    wait_until(lambda: set(stack.stages(mail).values()) == {"delivered", "relayed"}, "traced")


def test_one_message_reaches_local_and_remote_recipients(stack, sink):
    everyone = [ANN, BEN, "one@mixed.test", "two@mixed.test", "three@other.test"]

    with stack.smtp() as session:
        mail = send(session, ANN, everyone, message("mixed"))

    wait_until(
        lambda: (
            list(map(stack.stages(mail).get, everyone))
            == ["delivered", "delivered", "relayed", "relayed", "relayed"]
        ),
        "every recipient has it",
    )
    assert len(in_mailbox(stack, ANN, "mixed")) == 1
    (together,) = sink.to("one@mixed.test")
    assert together.recipients == ["one@mixed.test", "two@mixed.test"]


def test_what_our_people_send_is_signed_and_so_is_our_own_report(stack, sink):
    keys = "/v1/domains/ours.test/dkim"
    records = {}
    for algorithm in ("rsa", "ed25519"):
        status, key = stack.call("auth", keys, {"algorithm": algorithm})
        assert status == 201, key
        records[key["record"]["name"]] = key["record"]["text"].encode()
        stack.call("auth", f"{keys}/{key['selector']}", {"state": "active"}, "PATCH")
    sink.answer = lambda r: "550 5.1.1 No such user" if r == "nobody@signed.test" else None

    tries = itertools.count()

    def signatures_of(content):
        checked = dkim.DKIM(content)
        find = lambda name, **_: records[name.decode().removesuffix(".")]  # noqa: E731
        return [checked.verify(idx=number, dnsfunc=find) for number in (0, 1)]

    def arrives_signed():
        recipient = f"bob{next(tries)}@signed.test"
        with stack.smtp() as session:
            send(session, "dora@signed.test", [recipient], message("signed"))
        (mail,) = wait_until(lambda: sink.to(recipient), "the remote has it")
        return mail.content if mail.content.count(b"DKIM-Signature") == len(records) else b""

    content = wait_until(arrives_signed, "delivery has heard of the keys")
    assert signatures_of(content) == [True, True]

    with stack.smtp() as session:
        send(session, "dora@signed.test", ["nobody@signed.test"], message("to nobody"))
    (report,) = wait_until(lambda: sink.to("dora@signed.test"), "the report is there")
    assert signatures_of(report.content) == [True, True]


def test_what_comes_back_of_forwarded_mail_finds_its_sender(stack, sink):
    """SPF would not let us send in Eve's name: so we send in ours, and hand on what comes back."""
    stack.call("auth", "/v1/aliases", {"address": "away@ours.test", "targets": ["ann@new.test"]})
    with stack.smtp() as session:
        send(session, "eve@stranger.test", ["away@ours.test", "bob@new.test"], message("onward"))

    (direct,) = wait_until(lambda: sink.to("bob@new.test"), "Bob has it")
    (onward,) = wait_until(lambda: sink.to("ann@new.test"), "Ann has it at her new address")
    assert direct.sender == "eve@stranger.test"
    assert re.fullmatch(r"SRS0=\w{8}=\w\w=stranger\.test=eve@ours\.test", onward.sender)

    forged = onward.sender.replace("=stranger.test=eve", "=stranger.test=mallory")
    with stack.smtp() as session:
        send(session, "", [onward.sender.lower()], message("it bounced"))
        session.mail("")
        assert session.rcpt(forged)[0] == 550
    (back,) = wait_until(lambda: sink.to("eve@stranger.test"), "Eve hears of it")
    assert back.sender == "<>"
    assert b"it bounced" in back.content


def test_an_alias_reaches_each_of_its_members_once(stack, sink):
    targets = [ANN, BEN, "member@remote.test"]
    stack.call("auth", "/v1/aliases", {"address": "team@ours.test", "targets": targets})

    with stack.smtp() as session:
        mail = send(session, "x@lan.test", ["team@ours.test", ANN], message("team"))

    wait_until(lambda: sink.to("member@remote.test"), "the remote member has it")
    wait_until(
        lambda: (
            stack.stages(mail)
            == {
                "team@ours.test": "expanded",
                ANN: "delivered",
                BEN: "delivered",
                "member@remote.test": "relayed",
            }
        ),
        "the story is complete",
    )
    assert len(in_mailbox(stack, ANN, "team")) == 1
    assert len(in_mailbox(stack, BEN, "team")) == 1


def test_a_remote_that_is_busy_gets_the_mail_on_the_retry(stack, sink):
    answers = iter(["451 4.3.0 busy", "451 4.3.0 still busy"])
    sink.answer = lambda r: next(answers, None) if r == "busy@remote.test" else None

    with stack.smtp() as session:
        mail = send(session, ANN, ["busy@remote.test"], message("retry"))

    wait_until(lambda: sink.to("busy@remote.test"), "the retry got through")
    wait_until(lambda: stack.stages(mail) == {"busy@remote.test": "relayed"}, "it is traced")
    story = [entry["stage"] for entry in stack.mail(mail)["timeline"]]
    assert story.count("deferred") == 2
    assert len(sink.to("busy@remote.test")) == 1


def test_a_refusal_comes_back_as_a_report(stack, sink):
    sink.answer = lambda r: "550 5.1.1 No such user" if r == "gone@remote.test" else None

    with stack.smtp() as session:
        mail = send(session, ANN, ["gone@remote.test", "there@remote.test"], message("bounce me"))

    (kept,) = wait_until(lambda: reports(stack, ANN, "gone@remote.test"), "the report is there")
    report = email.message_from_bytes(kept, policy=email.policy.default)
    assert report["Return-Path"] == "<>"
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert all_failures(email.message_from_bytes(kept)) == (set(), {b"gone@remote.test"})
    assert b"Subject: bounce me" in kept
    fates = {"gone@remote.test": "failed", "there@remote.test": "relayed"}
    wait_until(lambda: stack.stages(mail) == fates, "each recipient's fate is known")


def reports(stack, address: str, failed: str) -> list[bytes]:
    return [
        mail
        for mail in stack.mailbox(address)
        if b"delivery-status" in mail and failed.encode() in mail
    ]


def test_a_sender_hears_of_success_if_it_asks_for_that(stack, sink):
    pair = {"address": "pair@ours.test", "targets": [ANN, "pal@remote.test"]}
    stack.call("auth", "/v1/aliases", pair)
    with stack.smtp() as session:
        session.ehlo()
        session.mail(BEN, ["ENVID=QQ+2B1", "RET=HDRS"])
        for recipient in (ANN, "pair@ours.test", "far@remote.test"):
            assert session.rcpt(recipient, ["NOTIFY=SUCCESS"])[0] == 250
        session.data(message("tell me"))

    wait_until(
        lambda: (
            actions(stack, BEN, "tell me")
            == {ANN: "delivered", "pair@ours.test": "expanded", "far@remote.test": "relayed"}
        ),
        "all three reports are there",
    )
    assert sink.to("pal@remote.test")


def actions(stack, address: str, subject: str) -> dict[str, str]:
    """Return what reports on the mail of that subject say of its recipients."""
    kept = [email.message_from_bytes(mail) for mail in in_mailbox(stack, address, subject)]
    groups = [group for report in kept for group in report.get_payload()[1].get_payload()[1:]]
    return {group["Final-Recipient"].partition("; ")[2]: group["Action"] for group in groups}


def test_a_report_that_cannot_be_delivered_ends_quietly(stack, sink):
    sink.answer = lambda r: "550 5.1.1 Nobody" if r.endswith("@void.test") else None

    with stack.smtp() as session:
        mail = send(session, "also-gone@void.test", ["gone@void.test"], message("no way back"))

    wait_until(lambda: stack.stages(mail) == {"gone@void.test": "failed"}, "the mail has failed")
    ended = "/v1/mails?state=ended&recipient=also-gone@void.test"
    wait_until(lambda: stack.call("ledger", ended)[1]["items"], "the report has ended too")


def test_mail_for_a_dead_remote_waits_where_it_can_be_seen(stack, dead_port):
    with stack.smtp() as session:
        mail = send(session, ANN, ["patient@dead.test"], message("wait"))

    (row,) = wait_until(lambda: [w for w in stack.waiting() if w["mail"] == mail], "it waits")
    assert row["recipients"] == ["patient@dead.test"]
    assert row["why"]
    remote = Sink(dead_port).start()
    try:
        wait_until(lambda: remote.to("patient@dead.test"), "the mail arrives when the remote is up")
    finally:
        remote.stop()
    wait_until(lambda: not [w for w in stack.waiting() if w["mail"] == mail], "nothing waits")


def test_what_a_user_holds_back_waits_and_goes_on_when_it_is_told_to(stack):
    with stack.smtp("submission", login="ann") as session:
        session.ehlo()
        session.mail(ANN, ["HOLDFOR=86400"])
        session.rcpt(BEN)
        mail = queued_id(session.data(message("later")))

    (row,) = wait_until(lambda: [w for w in stack.waiting() if w["mail"] == mail], "it is held")
    assert re.fullmatch(r"450 4\.0\.0 Held by its sender until [0-9TZ:-]{20}", row["why"])
    wait_until(lambda: stack.stages(mail) == {BEN: "deferred"}, "the timeline says so")
    assert not in_mailbox(stack, BEN, "later")

    stack.call("ledger", f"/v1/waiting/{row['id']}/retry", method="POST")
    wait_until(lambda: in_mailbox(stack, BEN, "later"), "it is in the mailbox")
    wait_until(lambda: stack.stages(mail) == {BEN: "delivered"}, "the timeline says so")


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"])
def test_nothing_is_smuggled_behind_a_false_end_of_data(stack, sink, ending):
    inner = b"MAIL FROM:<x@y.test>\r\nRCPT TO:<smuggled@remote.test>\r\nDATA\r\nx\r\n"
    with stack.smtp() as session:
        session.ehlo()
        session.mail(ANN)
        session.rcpt("honest@remote.test")
        session.docmd("DATA")
        session.send(b"Subject: x\r\n\r\nhi" + ending + inner + b"\r\n.\r\n")

        code, text = session.getreply()

    assert (code, text[:5]) == (554, b"5.6.0")
    assert not sink.to("smuggled@remote.test")


def test_every_accepted_recipient_has_ended_or_waits(stack):
    wait_until(lambda: stack.balance()["open"] == 0, "everything has ended")

    balance = stack.balance()
    assert balance["accepted"] == balance["ended"] + balance["waiting"]
