"""What waits goes back on the bus once it is due, and nobody is served twice who need not be."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.bus.port import BusUnavailableError, QueueState
from kernel.model.events import Stage
from services.ledger.core.release import POSTPONE, WaitingLeg
from services.ledger.waiting import Releaser
from tests.support.fakes import RecordingBus, make_platform
from tests.support.mail import BOB, CAT, NOON, make_leg
from tests.unit.ledger.fakes import MemoryRoom

TICK = timedelta(seconds=1)
LEG = make_leg(BOB, CAT, attempt=2)
DOUBTFUL = WaitingLeg(make_leg(BOB, CAT), NOON, (Stage.ROUTED,))


class BusyBus(RecordingBus):
    """A bus that still holds traces."""

    def __init__(self, ready=0, taken=0, here=0):
        super().__init__()
        self.state = QueueState("MailTraced", ready, taken, 1, here)

    async def queues(self):
        if self.failure:
            raise self.failure
        return (QueueState("MailAccepted", 7, 7, 1), self.state)


def releaser(room, bus=None, trouble=""):
    platform = make_platform(bus=bus or RecordingBus())
    return platform, Releaser(platform, room, TICK, lambda: trouble)


async def test_a_leg_that_is_due_is_published_and_then_released():
    waiting = WaitingLeg(LEG, NOON)
    room = MemoryRoom(waiting)
    platform, releasing = releaser(room)

    assert await releasing.release_due() == 1

    assert platform.bus.published == [LEG]
    assert room.released == [waiting]


async def test_the_timeline_says_that_a_released_leg_is_on_its_way():
    room = MemoryRoom(WaitingLeg(LEG, NOON))
    _, releasing = releaser(room)

    await releasing.release_due()

    (records,) = room.records
    assert [(s.recipient, s.stage, s.cause) for s in records.steps] == [
        (str(BOB), Stage.ROUTED, LEG.id),
        (str(CAT), Stage.ROUTED, LEG.id),
    ]
    assert records.fates == records.steps


async def test_who_was_served_is_left_out():
    room = MemoryRoom(DOUBTFUL, served={DOUBTFUL.id: {str(BOB)}})
    platform, releasing = releaser(room, BusyBus())

    await releasing.release_due()

    assert platform.bus.published == [make_leg(CAT)]
    assert room.released == [DOUBTFUL]


async def test_a_leg_of_whom_all_were_served_is_released_without_being_published():
    room = MemoryRoom(DOUBTFUL, served={DOUBTFUL.id: {str(BOB), str(CAT)}})
    platform, releasing = releaser(room, BusyBus())

    await releasing.release_due()

    assert platform.bus.published == []
    assert room.released == [DOUBTFUL]


@pytest.mark.parametrize(("ready", "taken"), [(3, 0), (0, 3)])
async def test_a_leg_in_doubt_waits_while_traces_are_on_the_bus(ready, taken):
    sure = WaitingLeg(LEG, NOON)
    room = MemoryRoom(DOUBTFUL, sure)
    platform, releasing = releaser(room, BusyBus(ready, taken))

    await releasing.release_due()

    assert platform.bus.published == [LEG]
    assert room.postponed == [(DOUBTFUL, NOON + POSTPONE)]


async def test_traces_that_are_being_entered_here_are_not_waited_for():
    room = MemoryRoom(DOUBTFUL)
    platform, releasing = releaser(room, BusyBus(taken=3, here=3))

    await releasing.release_due()

    assert platform.bus.published == [DOUBTFUL.leg]


async def test_traces_that_cannot_be_entered_now_are_waited_for():
    room = MemoryRoom(DOUBTFUL)
    platform, releasing = releaser(room, BusyBus(taken=3, here=3), trouble="the disk is full")

    await releasing.release_due()

    assert platform.bus.published == []
    assert room.postponed == [(DOUBTFUL, NOON + POSTPONE)]


async def test_a_leg_that_may_have_gone_out_before_is_in_doubt():
    once_more = WaitingLeg(LEG, NOON, takes=2)
    room = MemoryRoom(once_more)
    platform, releasing = releaser(room, BusyBus(ready=1))

    await releasing.release_due()

    assert platform.bus.published == []
    assert room.postponed == [(once_more, NOON + POSTPONE)]


async def test_what_cannot_be_published_is_kept():
    room = MemoryRoom(WaitingLeg(LEG, NOON))
    bus = RecordingBus()
    bus.failure = BusUnavailableError("no broker")
    _, releasing = releaser(room, bus)

    with pytest.raises(BusUnavailableError):
        await releasing.release_due()

    assert [waiting.leg for waiting in room.given_back] == [LEG]
    assert room.released == []


async def test_a_leg_in_doubt_that_cannot_be_judged_is_kept_as_if_it_had_not_been_taken():
    room = MemoryRoom(DOUBTFUL)
    bus = BusyBus()
    bus.failure = BusUnavailableError("no broker")
    _, releasing = releaser(room, bus)

    with pytest.raises(BusUnavailableError):
        await releasing.release_due()

    assert room.postponed == [(DOUBTFUL, NOON)]


async def test_legs_of_several_mails_keep_their_own_recipients():
    other = replace(LEG, envelope=replace(LEG.envelope, id="01kdq5h4g0other00000000000"))
    room = MemoryRoom(WaitingLeg(LEG, NOON), WaitingLeg(other, NOON), served={other.id: {str(BOB)}})
    platform, releasing = releaser(room)

    await releasing.release_due()

    assert [len(leg.envelope.recipients) for leg in platform.bus.published] == [2, 1]
