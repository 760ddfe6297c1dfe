"""The router turns accepted mail into legs, and tells the ledger."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.bus.port import BusUnavailableError
from kernel.model.address import Address
from kernel.model.envelope import Blob, Recipient
from kernel.model.events import (
    Local,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Nowhere,
    Stage,
    Summary,
    Trace,
)
from kernel.model.questions import Place, Whereabouts
from kernel.model.reply import Reply
from services.router.core.route import EXPANDED
from services.router.ports import DirectoryUnavailableError
from services.router.service import PERHAPS_ROUTED, SETTLING, Router
from tests.support.fakes import make_platform
from tests.support.mail import (
    AN_HOUR_LATER,
    ANN,
    BOB,
    CAT,
    MAIL_ID,
    MESSAGE,
    NOON,
    make_envelope,
    make_leg,
)

ALL = Address("all", "ours.test")
KNOWN = {
    ANN: Whereabouts(ANN, Place.MAILBOX, (ANN,)),
    BOB: Whereabouts(BOB, Place.REMOTE),
    CAT: Whereabouts(CAT, Place.REMOTE),
    ALL: Whereabouts(ALL, Place.ALIAS, (ANN, BOB)),
}


class DictDirectory:
    """Knows ``KNOWN`` once it has been asked ``outages`` times in vain; remembers nothing."""

    def __init__(self, outages=0):
        self.outages = outages
        self.asked = []

    def recall(self, addresses):
        del addresses
        return {}

    async def look_up(self, addresses):
        self.asked.append(tuple(addresses))
        if self.outages:
            self.outages -= 1
            raise DirectoryUnavailableError
        return {address: KNOWN[address] for address in addresses}


@pytest.fixture
def platform():
    return make_platform()


@pytest.fixture
def router(platform):
    return Router(platform, DictDirectory())


def accepted(*recipients):
    traces = tuple(Trace(recipient, Stage.ACCEPTED) for recipient in recipients)
    return MailTraced(MAIL_ID, NOON, MAIL_ID, traces, Summary(ANN, len(MESSAGE), origin=""))


def stages(bus):
    traces = [e for e in bus.published if isinstance(e, MailTraced)]
    return [[(t.recipient, t.stage) for t in traced.traces] for traced in traces]


def routed(leg, *recipients):
    hop = str(leg.hop)
    traces = tuple(Trace(recipient, Stage.ROUTED, hop) for recipient in recipients)
    return MailTraced(MAIL_ID, NOON, leg.id, traces)


async def test_legs_are_published_before_what_is_told_of_them(router, platform):
    local, remote = make_leg(ANN, hop=Local()), make_leg(BOB)

    await router.accept(MailAccepted(make_envelope(ANN, BOB)))

    assert platform.bus.published == [
        local,
        remote,
        accepted(ANN, BOB),
        routed(local, ANN),
        routed(remote, BOB),
    ]


async def test_what_its_sender_holds_back_waits_in_the_ledger_and_nothing_is_on_its_way(
    router, platform
):
    held = replace(make_envelope(ANN, BOB), hold_until=AN_HOUR_LATER)
    local, remote = (
        replace(leg, envelope=replace(leg.envelope, hold_until=AN_HOUR_LATER))
        for leg in (make_leg(ANN, hop=Local()), make_leg(BOB))
    )
    why = Reply(450, "4.0.0", "Held by its sender until 2026-01-05T13:00:00Z")

    await router.accept(MailAccepted(held))
    first, platform.bus.published = platform.bus.published, []
    await router.accept_again(MailAccepted(held))

    assert first == [
        MailDeferred(local, AN_HOUR_LATER, why),
        MailDeferred(remote, AN_HOUR_LATER, why),
        accepted(ANN, BOB),
        MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(ANN, Stage.DEFERRED, "held", why),)),
        MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.DEFERRED, "held", why),)),
    ]
    assert platform.bus.published == first


async def test_a_time_that_has_passed_holds_nothing_back(router, platform):
    await router.accept(MailAccepted(replace(make_envelope(BOB), hold_until=NOON)))

    assert not any(isinstance(event, MailDeferred) for event in platform.bus.published)


async def test_the_ledger_is_told_where_the_mail_came_from_and_who_was_let_in_by_which_rule(
    platform,
):
    router = Router(make_platform(bus=platform.bus, clock=lambda: AN_HOUR_LATER), DictDirectory())
    envelope = make_envelope(ANN, BOB, content=Blob(MAIL_ID, 1_000_000))
    envelope = replace(envelope, submitter="ann")

    await router.accept(MailAccepted(envelope, "mx 192.0.2.1", ("local", "network")))

    told = next(e for e in platform.bus.published if isinstance(e, MailTraced))
    assert told == MailTraced(
        MAIL_ID,
        NOON,
        MAIL_ID,
        (Trace(ANN, Stage.ACCEPTED, "local"), Trace(BOB, Stage.ACCEPTED, "network")),
        Summary(ANN, 1_000_000, "mx 192.0.2.1", "ann", MAIL_ID),
    )


async def test_an_alias_ends_and_its_members_begin_in_one_event(router, platform):
    await router.accept(MailAccepted(make_envelope(ALL)))

    told, expanded, *_ = (e for e in platform.bus.published if isinstance(e, MailTraced))
    assert told == accepted(ALL)
    assert expanded.cause == MAIL_ID
    assert [(t.recipient, t.stage) for t in expanded.traces] == [
        (ALL, Stage.EXPANDED),
        (ANN, Stage.ACCEPTED),
        (BOB, Stage.ACCEPTED),
    ]
    assert expanded.traces[0].detail == "ann@ours.test, bob@elsewhere.test"
    assert expanded.summary is None


async def test_a_member_who_is_addressed_too_is_not_accepted_twice(router, platform):
    await router.accept(MailAccepted(make_envelope(ALL, ANN)))

    assert stages(platform.bus)[:2] == [
        [(ALL, Stage.ACCEPTED), (ANN, Stage.ACCEPTED)],
        [(ALL, Stage.EXPANDED), (BOB, Stage.ACCEPTED)],
    ]


async def test_what_may_have_been_routed_before_asks_the_ledger_about_remote_legs(router, platform):
    local, remote = make_leg(ANN, hop=Local()), make_leg(BOB)

    await router.accept_again(MailAccepted(make_envelope(ANN, BOB)))

    doubtful = MailDeferred(remote, NOON + SETTLING, PERHAPS_ROUTED, unless=(Stage.ROUTED,))
    assert platform.bus.published == [local, doubtful, accepted(ANN, BOB), routed(local, ANN)]


async def test_a_leg_in_doubt_is_not_said_to_be_routed(router, platform):
    await router.accept_again(MailAccepted(make_envelope(BOB)))

    assert stages(platform.bus) == [[(BOB, Stage.ACCEPTED)]]


async def test_an_outage_of_auth_is_waited_for(platform):
    directory = DictDirectory(outages=2)

    await Router(platform, directory).accept(MailAccepted(make_envelope(BOB)))

    assert len(directory.asked) == 3
    assert platform.bus.published[0] == make_leg(BOB)


async def test_a_long_outage_of_auth_puts_the_mail_back_on_its_queue(platform):
    mail = MailAccepted(make_envelope(BOB), "mx 192.0.2.1", ("network",))
    patience = timedelta(milliseconds=20)

    await Router(platform, DictDirectory(outages=1000), patience).accept(mail)

    assert platform.bus.published == [mail]


async def test_a_bus_that_is_away_is_the_consumer_s_business(router, platform):
    platform.bus.failure = BusUnavailableError("no broker")

    with pytest.raises(BusUnavailableError):
        await router.accept(MailAccepted(make_envelope(BOB)))


async def test_routing_twice_repeats_the_same_ids(platform):
    router = Router(platform, DictDirectory())
    mail = MailAccepted(make_envelope(ANN, BOB))

    await router.accept(mail)
    await router.accept(mail)

    ids = [event.id for event in platform.bus.published]
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]


async def test_an_alias_for_several_has_a_leg_for_the_news_alone():
    platform = make_platform()
    wish = Recipient(ALL, notify=("SUCCESS",))
    envelope = replace(make_envelope(), recipients=(wish,))

    await Router(platform, DictDirectory()).accept(MailAccepted(envelope))

    published = platform.bus.published
    *_, notice = (event for event in published if isinstance(event, MailRouted))
    assert notice.hop == Nowhere(EXPANDED)
    assert notice.envelope.recipients == (wish,)
    traces = [trace for e in published if isinstance(e, MailTraced) for trace in e.traces]
    assert [t.stage for t in traces if t.recipient == ALL] == [Stage.ACCEPTED, Stage.EXPANDED]
