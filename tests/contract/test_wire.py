"""Bytes that an earlier version wrote stay readable, and today's stay as they are.

``golden/*.msgpack`` holds one event of each kind as this version writes it: a file is
never changed, only joined by others. `OLDER` are as versions before this one wrote them;
``older-*`` were written by hand: what was new later is missing, and there is a field
that nobody knows.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from kernel import wire
from kernel.model.envelope import Blob, Body, Envelope, Recipient
from kernel.model.events import (
    DirectoryChanged,
    Local,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Nowhere,
    Remote,
    SiteResumed,
    SiteSuspended,
    Stage,
    Summary,
    Trace,
    WorkerSeen,
)
from tests.support.mail import (
    AN_HOUR_LATER,
    ANN,
    BOB,
    BUSY,
    CAT,
    GONE,
    MAIL_ID,
    MESSAGE,
    NOON,
    OK,
    make_envelope,
    make_leg,
)

GOLDEN = Path(__file__).parent / "golden"

FULL = Envelope(
    MAIL_ID,
    ANN,
    (Recipient(BOB, "rfc822;bob@elsewhere.test", ("SUCCESS", "DELAY")), Recipient(CAT)),
    Blob(MAIL_ID, 1_000_000),
    NOON,
    submitter="ann",
    body=Body.EIGHT_BIT,
    smtputf8=True,
    requiretls=True,
    ret="HDRS",
    envid="QQ314159",
)
LEG = MailRouted(FULL, Remote("elsewhere.test"), 2)
HELD = replace(FULL, submitted=True, hold_until=AN_HOUR_LATER)
FORWARD = MailRouted(HELD, Remote("elsewhere.test", forwarded=True), 2, late=True)
SUMMARY = Summary(ANN, len(MESSAGE), "submission 127.0.0.2", "ann", MAIL_ID)

EVENTS = {
    "mail-accepted-by-mx": MailAccepted(
        make_envelope(BOB, CAT), "mx 192.0.2.1", ("local", "network")
    ),
    "mail-accepted-by-user": MailAccepted(
        HELD, "submission 127.0.0.2", ("authenticated", "authenticated")
    ),
    "mail-accepted-by-delivery": MailAccepted(
        make_envelope(ANN, sender=None), f"report on {LEG.id}"
    ),
    "mail-routed-to-mailbox": MailRouted(HELD, Local()),
    "mail-routed-onward": FORWARD,
    "mail-routed-to-nobody": MailRouted(HELD, Nowhere(GONE)),
    "mail-deferred-forward": MailDeferred(FORWARD, AN_HOUR_LATER, BUSY, unless=(Stage.ROUTED,)),
    "mail-traced": MailTraced(
        MAIL_ID,
        NOON,
        MAIL_ID,
        (Trace(BOB, Stage.ACCEPTED, "mx", OK), Trace(CAT, Stage.ROUTED)),
        SUMMARY,
    ),
    "directory-changed": DirectoryChanged("users", "ann"),
    "worker-seen": WorkerSeen("w1", {"mx.elsewhere.test": 3}, leaving=True),
    "site-suspended": SiteSuspended("mx.elsewhere.test", AN_HOUR_LATER, BUSY, "w1"),
    "site-resumed": SiteResumed("mx.elsewhere.test", "w1"),
}
OLDER = {
    "mail-accepted-from-mx": MailAccepted(
        make_envelope(BOB, CAT), "mx 192.0.2.1", ("local", "network")
    ),
    "mail-accepted-from-user": MailAccepted(
        FULL, "submission 127.0.0.2", ("authenticated", "authenticated")
    ),
    "mail-accepted-from-delivery": MailAccepted(
        make_envelope(ANN, sender=None), f"report on {LEG.id}"
    ),
    "mail-routed-local": MailRouted(FULL, Local()),
    "mail-routed-remote": LEG,
    "mail-routed-nowhere": MailRouted(FULL, Nowhere(GONE)),
    "mail-deferred": MailDeferred(LEG, AN_HOUR_LATER, BUSY, unless=(Stage.ROUTED,)),
    "mail-accepted": MailAccepted(make_envelope(BOB, CAT)),
    "mail-accepted-full": MailAccepted(FULL),
    "mail-accepted-report": MailAccepted(make_envelope(ANN, sender=None)),
    "older-mail-accepted": MailAccepted(make_envelope(BOB)),
    "older-mail-routed": make_leg(BOB),
    "older-mail-deferred": MailDeferred(make_leg(BOB, hop=Local()), AN_HOUR_LATER, BUSY),
    "older-mail-traced": MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.DELIVERED),)),
    "older-directory-changed": DirectoryChanged("users"),
}


@pytest.mark.parametrize("name", [*EVENTS, *OLDER])
def test_what_was_written_once_stays_readable(name):
    assert wire.decode(golden(name)) == (EVENTS | OLDER)[name]


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_written_today_is_what_was_written(name):
    assert wire.encode(EVENTS[name]) == golden(name)


def test_every_golden_file_is_read():
    assert {path.stem for path in GOLDEN.iterdir()} == EVENTS.keys() | OLDER.keys()


def test_a_pack_gives_back_its_events():
    encoded = [wire.encode(event) for event in EVENTS.values()]

    assert wire.unpack(wire.pack(encoded)) == encoded


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x90", b"\x92\xa9NewThings\x80", b"\x92\xacMailAccepted\x80"],
    ids=["nothing", "no messagepack", "no frame", "an unknown kind", "no envelope"],
)
def test_what_cannot_be_read_says_so(data):
    with pytest.raises(wire.UnreadableEventError):
        wire.decode(data)


def test_a_pack_that_cannot_be_read_says_so():
    with pytest.raises(wire.UnreadableEventError):
        wire.unpack(b"\xc1")


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.msgpack").read_bytes()
