import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from kernel import wire
from kernel.blobs.port import BlobMissingError, BlobsUnavailableError
from kernel.bus.port import BusUnavailableError
from kernel.model.envelope import INLINE_LIMIT, Blob, Recipient
from kernel.model.events import (
    OUTCOMES,
    Local,
    MailAccepted,
    MailDeferred,
    Nowhere,
    Remote,
    Stage,
)
from kernel.model.reply import Reply
from kernel.model.sending import Route
from services.delivery.adapters.nowhere import NowhereCourier
from services.delivery.adapters.templates import load_templates
from services.delivery.core.reporting import report_id
from services.delivery.core.routes import Host
from services.delivery.core.schedule import RetrySchedule
from services.delivery.ports import Carried, Later
from services.delivery.reporter import Reporter
from services.delivery.service import NO_CONTENT, TOOK_TOO_LONG, Delivery
from tests.support.fakes import make_platform
from tests.support.mail import (
    A_WEEK_LATER,
    AN_HOUR_LATER,
    ANN,
    BOB,
    BUSY,
    CAT,
    GONE,
    MESSAGE,
    NOON,
    OK,
    make_leg,
)

MX = Host("mx.elsewhere.test", "192.0.2.1", 25)
SCHEDULE = RetrySchedule()
LATE = NOON + timedelta(hours=5)


class ScriptedCourier:
    """Gives the same result to every leg, and remembers the legs."""

    def __init__(self, result):
        self.result = result
        self.legs = []

    async def carry(self, leg):
        self.legs.append(leg)
        if isinstance(self.result, Exception):
            raise self.result
        if self.result is None:
            await asyncio.Event().wait()
        return self.result


def make_delivery(result, **changes):
    if isinstance(result, dict):
        result = Carried(result, MX)
    platform = changes.pop("platform", None) or make_platform()
    courier = ScriptedCourier(result)
    couriers = {Remote: courier, Local: courier, Nowhere: NowhereCourier()}
    reporter = Reporter(platform, load_templates(), changes.pop("postmaster", ()))
    return Delivery(platform, couriers, reporter, SCHEDULE, **changes)


async def attempt(leg, result, **changes):
    delivery = make_delivery(result, **changes)
    await delivery.attempt(leg)
    return delivery.platform.bus.published


def stages(traced):
    return {trace.recipient: trace.stage for trace in traced.traces}


async def test_a_relayed_recipient_leaves_a_trace_and_nothing_else():
    (traced,) = await attempt(make_leg(BOB), {BOB: OK})

    assert traced.cause == make_leg(BOB).id
    assert traced.mail == make_leg(BOB).envelope.id
    assert stages(traced) == {BOB: Stage.RELAYED}
    assert traced.traces[0].detail == "mx.elsewhere.test[192.0.2.1]:25"
    assert traced.traces[0].reply == OK


async def test_reports_the_failed_and_defers_the_deferred():
    leg = make_leg(ANN, BOB, CAT)

    report, deferred, traced = await attempt(leg, {ANN: OK, BOB: BUSY, CAT: GONE})

    assert isinstance(report, MailAccepted)
    assert report.envelope.id == report_id(leg)
    assert report.origin == f"report on {leg.id}"
    assert report.envelope.sender is None
    assert report.envelope.recipients[0].address == ANN
    due = SCHEDULE.due_after(leg, NOON)
    assert deferred == MailDeferred(make_leg(BOB, attempt=2), due, BUSY)
    assert stages(traced) == {ANN: Stage.RELAYED, BOB: Stage.DEFERRED, CAT: Stage.FAILED}
    assert due.isoformat(timespec="milliseconds") in traced.traces[1].detail


async def test_a_failure_that_nobody_wants_to_hear_of_leaves_a_trace():
    leg = make_leg(BOB, sender=None)

    (traced,) = await attempt(leg, {BOB: GONE})

    assert stages(traced) == {BOB: Stage.FAILED}


async def test_a_silent_recipient_is_left_out_of_the_report():
    leg = make_leg(BOB)
    quiet = replace(leg.envelope, recipients=(Recipient(BOB, notify=("NEVER",)),))

    (traced,) = await attempt(replace(leg, envelope=quiet), {BOB: GONE})

    assert stages(traced) == {BOB: Stage.FAILED}


async def test_whoever_was_tried_for_too_long_expires_and_the_sender_hears_of_it():
    platform = make_platform(clock=lambda: A_WEEK_LATER)

    report, traced = await attempt(make_leg(BOB), {BOB: BUSY}, platform=platform)

    assert b"Status: 4.4.7" in report.envelope.content
    assert stages(traced) == {BOB: Stage.EXPIRED}


async def test_a_leg_to_nowhere_fails_for_its_reason():
    report, traced = await attempt(make_leg(BOB, hop=Nowhere(GONE)), {})

    assert traced.traces[0].reply == GONE
    assert b"x-postroom; 550 5.1.1" in report.envelope.content


async def test_the_outcome_is_the_same_however_often_it_is_found():
    leg, result = make_leg(BOB, CAT), {BOB: BUSY, CAT: GONE}

    assert await attempt(leg, result) == await attempt(leg, result)


async def test_what_was_not_tried_comes_back_soon_and_leaves_no_trace():
    leg = make_leg(BOB)

    (deferred,) = await attempt(leg, Later(BUSY))

    assert deferred.leg == leg
    assert deferred.due - NOON < timedelta(seconds=6)


async def test_what_was_not_tried_comes_back_when_it_is_worth_a_try():
    (deferred,) = await attempt(make_leg(BOB), Later(BUSY, AN_HOUR_LATER))

    assert deferred.due == AN_HOUR_LATER


async def test_a_route_has_its_own_schedule():
    routes = (Route("elsewhere.test", retry=(timedelta(hours=2),)),)

    deferred, _ = await attempt(make_leg(BOB), {BOB: BUSY}, routes=lambda: routes)

    assert deferred.due - NOON > timedelta(hours=1)


async def test_what_was_not_tried_is_no_twin_of_its_last_stay_in_the_waiting_room():
    (deferred,) = await attempt(make_leg(BOB, attempt=2), Later(BUSY))

    assert deferred.unless == OUTCOMES


async def test_what_was_not_tried_is_tried_when_it_comes_back():
    delivery = make_delivery(Later(BUSY))

    await delivery.attempt(make_leg(BOB))
    await delivery.attempt(make_leg(BOB))

    assert len(delivery.couriers[Remote].legs) == 2


async def test_a_twin_of_a_settled_leg_is_dropped():
    delivery = make_delivery({BOB: OK})

    await delivery.attempt(make_leg(BOB))
    await delivery.attempt(make_leg(BOB))
    await delivery.recover(make_leg(BOB))

    assert len(delivery.couriers[Remote].legs) == 1
    assert len(delivery.platform.bus.published) == 1


async def test_a_remote_leg_that_somebody_may_have_tried_waits_for_the_timeline():
    delivery = make_delivery({BOB: OK})

    await delivery.recover(make_leg(BOB))

    (deferred,) = delivery.platform.bus.published
    assert deferred.leg == make_leg(BOB)
    assert deferred.unless == OUTCOMES
    assert delivery.couriers[Remote].legs == []


async def test_and_is_tried_when_it_comes_back_from_there():
    delivery = make_delivery({BOB: OK})

    await delivery.recover(make_leg(BOB))
    await delivery.attempt(make_leg(BOB))

    assert len(delivery.couriers[Remote].legs) == 1


async def test_a_local_leg_is_simply_tried_again():
    delivery = make_delivery({ANN: OK})

    await delivery.recover(make_leg(ANN, hop=Local()))

    assert stages(delivery.platform.bus.published[0]) == {ANN: Stage.DELIVERED}


async def test_what_the_bus_would_not_hear_is_said_again_and_not_done_again():
    delivery = make_delivery({BOB: OK})
    bus = delivery.platform.bus
    bus.failure = BusUnavailableError("out of reach")
    with pytest.raises(BusUnavailableError):
        await delivery.attempt(make_leg(BOB))

    bus.failure = None
    await delivery.recover(make_leg(BOB))

    assert stages(bus.published[0]) == {BOB: Stage.RELAYED}
    assert len(delivery.couriers[Remote].legs) == 1


async def test_a_missing_blob_is_for_a_person_to_look_at():
    delivery = make_delivery(BlobMissingError("gone"))

    with pytest.raises(BlobMissingError):
        await delivery.attempt(make_leg(ANN, hop=Local()))

    assert delivery.platform.bus.published == []


async def test_a_remote_leg_without_its_blob_comes_to_an_end_all_the_same():
    platform = make_platform(clock=lambda: A_WEEK_LATER)

    deferred, _ = await attempt(make_leg(BOB), BlobMissingError("gone"))
    report, traced = await attempt(make_leg(BOB), BlobMissingError("gone"), platform=platform)

    assert deferred.why == NO_CONTENT
    assert isinstance(report, MailAccepted)
    assert stages(traced) == {BOB: Stage.EXPIRED}


async def test_an_outage_of_the_blob_store_is_a_deferral():
    deferred, traced = await attempt(make_leg(BOB), BlobsUnavailableError("stale file handle"))

    assert deferred.why == NO_CONTENT
    assert deferred.why.is_transient
    assert stages(traced) == {BOB: Stage.DEFERRED}


async def test_a_report_goes_out_even_if_the_original_cannot_be_read():
    leg = make_leg(BOB, CAT, content=Blob("gone", INLINE_LIMIT + 1))

    report, traced = await attempt(leg, {BOB: OK, CAT: GONE})

    assert b"Action: failed" in report.envelope.content
    assert stages(traced) == {BOB: Stage.RELAYED, CAT: Stage.FAILED}


async def test_an_attempt_without_end_is_cut_off():
    leg = make_leg(BOB)

    deferred, traced = await attempt(leg, None, longest_attempt=timedelta(milliseconds=10))

    assert deferred.why == TOOK_TOO_LONG
    assert stages(traced) == {BOB: Stage.DEFERRED}


async def test_a_fault_of_ours_is_no_answer_of_the_remote():
    with pytest.raises(TimeoutError):
        await attempt(make_leg(BOB), TimeoutError("the store is slow"))


async def test_a_large_message_comes_back_as_headers_read_from_its_blob():
    platform = make_platform()
    platform.blobs.blobs["m"] = MESSAGE + b"x" * 100_000
    leg = make_leg(BOB, content=Blob("m", len(MESSAGE) + 100_000))

    report, *_ = await attempt(leg, {BOB: GONE}, platform=platform)

    assert b"Subject: hello" in report.envelope.content
    assert b"xxx" not in report.envelope.content


async def test_a_report_that_cannot_be_kept_goes_out_without_the_original(monkeypatch):
    platform = make_platform()
    monkeypatch.setattr(platform.blobs, "put", refuse)
    original = "Subject: Grüße\r\n\r\n".encode() + b"x" * 49_900

    report, traced = await attempt(
        make_leg(BOB, CAT, content=original), {BOB: OK, CAT: GONE}, platform=platform
    )

    assert b"Action: failed" in report.envelope.content
    assert report.envelope.size < INLINE_LIMIT
    assert stages(traced) == {BOB: Stage.RELAYED, CAT: Stage.FAILED}


async def refuse(name, chunks):
    raise BlobsUnavailableError("the disk is full")


async def test_a_report_too_large_for_an_event_becomes_a_blob():
    platform = make_platform()
    original = "Subject: Grüße\r\n\r\n".encode() + b"x" * 49_900
    leg = make_leg(BOB, content=original)

    report, _ = await attempt(leg, {BOB: GONE}, platform=platform)

    blob = report.envelope.content
    assert blob == Blob(report.id, len(platform.blobs.blobs[report.id]))
    assert blob.size > INLINE_LIMIT


async def attempt_late(leg, result):
    return await attempt(leg, result, platform=make_platform(clock=lambda: LATE))


def wishing(leg, *notify, submitted=True):
    """Return ``leg`` with what its sender wants to be told of every recipient."""
    recipients = tuple(replace(r, notify=notify) for r in leg.envelope.recipients)
    envelope = replace(leg.envelope, recipients=recipients, submitted=submitted)
    return replace(leg, envelope=envelope)


def actions(report):
    return re.findall(rb"Action: (\w+)", report.envelope.content)


async def test_what_failed_arrived_and_waits_stands_in_one_report():
    leg = wishing(make_leg(ANN, BOB, CAT), "SUCCESS", "FAILURE", "DELAY")

    report, deferred, traced = await attempt_late(leg, {ANN: OK, BOB: BUSY, CAT: GONE})

    assert actions(report) == [b"relayed", b"failed", b"delayed"]
    assert deferred.leg.late
    assert len(traced.traces) == 3


async def test_the_sender_hears_once_that_its_message_waits():
    leg = wishing(make_leg(BOB), submitted=True)

    report, deferred, _ = await attempt_late(leg, {BOB: BUSY})
    again, _ = await attempt_late(deferred.leg, {BOB: BUSY})

    assert actions(report) == [b"delayed"]
    assert isinstance(again, MailDeferred)
    assert again.leg.late
    assert wire.decode(wire.encode(again)) == again


async def test_what_is_not_tried_for_long_is_late_too_and_fails_under_another_id():
    leg = wishing(make_leg(BOB))

    report, deferred = await attempt_late(leg, Later(BUSY))
    (back,) = await attempt_late(deferred.leg, Later(BUSY))
    failure, _ = await attempt_late(deferred.leg, {BOB: GONE})

    assert actions(report) == [b"delayed"]
    assert deferred.leg.id == leg.id
    assert deferred.leg.late
    assert back.leg == deferred.leg
    assert actions(failure) == [b"failed"]
    assert failure.id != report.id


async def test_nobody_is_told_before_its_time():
    deferred, _ = await attempt(wishing(make_leg(BOB), "DELAY"), {BOB: BUSY})

    assert not deferred.leg.late


async def test_into_a_mailbox_is_delivered():
    leg = wishing(make_leg(ANN, hop=Local()), "SUCCESS")

    report, traced = await attempt(leg, Carried({ANN: OK}))

    assert actions(report) == [b"delivered"]
    assert stages(traced) == {ANN: Stage.DELIVERED}


async def test_what_an_alias_stood_for_is_expanded():
    hop = Nowhere(Reply(250, "2.1.5", "Others receive it instead"))

    report, traced = await attempt(wishing(make_leg(BOB, hop=hop), "SUCCESS"), {})

    assert actions(report) == [b"expanded"]
    assert stages(traced) == {BOB: Stage.EXPANDED}


async def test_no_report_where_the_next_server_makes_it():
    leg = wishing(make_leg(BOB), "SUCCESS")

    (traced,) = await attempt(leg, Carried({BOB: OK}, MX, passed_dsn=True))

    assert stages(traced) == {BOB: Stage.RELAYED}


async def test_the_postmaster_gets_a_copy_without_the_body():
    leg = make_leg(BOB)

    report, copy, _ = await attempt(leg, {BOB: GONE}, postmaster=(CAT,))

    assert b"\r\n\r\nhi\r\n" in report.envelope.content
    assert b"\r\n\r\nhi\r\n" not in copy.envelope.content
    assert b"Subject: hello" in copy.envelope.content
    assert copy.envelope.sender is None
    assert [r.address for r in copy.envelope.recipients] == [CAT]
    assert copy.id != report.id


async def test_the_postmaster_hears_of_a_report_that_is_refused_and_of_its_own_mail_never():
    notice, _ = await attempt(make_leg(BOB, sender=None), {BOB: GONE}, postmaster=(CAT,))
    (traced,) = await attempt(make_leg(CAT, sender=None), {CAT: GONE}, postmaster=(CAT,))

    assert b"Mail from <> could not be delivered" in notice.envelope.content
    assert stages(traced) == {CAT: Stage.FAILED}
