"""Replies, ids and events are values that say what they are."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from kernel.model.envelope import derived_mail_id, new_mail_id
from kernel.model.events import Local, MailDeferred, Nowhere, Remote, Stage
from kernel.model.questions import LoginQuestion
from kernel.model.reply import Reply, printable
from tests.support.mail import BOB, BUSY, GONE, MAIL_ID, NOON, OK, make_leg


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (OK, "positive"),
        (Reply(354, "", "Go on"), "positive"),
        (BUSY, "transient"),
        (GONE, "permanent"),
    ],
)
def test_a_reply_is_positive_transient_or_permanent(reply, kind):
    kinds = {
        "positive": reply.is_positive,
        "transient": reply.is_transient,
        "permanent": reply.is_permanent,
    }
    assert [name for name, holds in kinds.items() if holds] == [kind]


def test_every_line_of_a_reply_carries_the_status():
    reply = Reply(550, "5.7.1", "No\nnever")

    assert reply.lines() == b"550-5.7.1 No\r\n550 5.7.1 never\r\n"
    assert str(reply) == "550 5.7.1 No never"


def test_a_reply_without_a_status_has_none_on_the_wire():
    assert Reply(354, "", "Go on").lines() == b"354 Go on\r\n"


def test_control_characters_do_not_reach_a_log():
    assert printable("a\r\nb\x1b[2J\u202ec") == "a  b [2J c"


def test_mail_ids_sort_by_age():
    early = new_mail_id(NOON, lambda n: b"\xff" * n)
    late = new_mail_id(NOON + timedelta(milliseconds=1), lambda n: b"\x00" * n)

    assert early < late
    assert len(early) == 26


def test_two_mails_of_one_moment_have_different_ids():
    assert new_mail_id(NOON, os.urandom) != new_mail_id(NOON, os.urandom)


def test_a_derived_id_is_the_same_however_often_asked():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

    assert derived_mail_id("x/bounce", NOON) == derived_mail_id("x/bounce", NOON)
    assert derived_mail_id("abc", moment) == "01kdyak3se6rcv5tc35nt8tx2y"  # as in any version
    assert derived_mail_id("x/bounce", NOON) != derived_mail_id("y/bounce", NOON)


@pytest.mark.parametrize(
    ("hop", "spelt"),
    [(Local(), "local"), (Remote("x.test"), "remote:x.test"), (Nowhere(GONE), "nowhere:5.1.1")],
)
def test_a_leg_is_named_by_its_mail_its_hop_and_its_attempt(hop, spelt):
    leg = make_leg(BOB, hop=hop, attempt=2)

    assert leg.id == f"{MAIL_ID}/{spelt}/2"
    assert MailDeferred(leg, NOON, BUSY).id == leg.id


def test_a_recipient_has_ended_or_is_on_the_way():
    on_the_way = {Stage.ACCEPTED, Stage.ROUTED, Stage.DEFERRED}

    assert {stage for stage in Stage if not stage.is_final} == on_the_way


def test_a_question_about_a_login_does_not_show_the_password():
    assert "opensesame" not in repr(LoginQuestion("smtp", "mx", "", "PLAIN", "ann", "opensesame"))
