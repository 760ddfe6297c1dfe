"""What every bus promises of events that are handled together (`kernel.bus.port`)."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from kernel import wire
from kernel.bus import rabbitmq_consumer, sqlite_consumer
from kernel.bus.port import LOCAL
from kernel.model.events import Local, MailAccepted, MailRouted, MailTraced, Stage, Trace
from tests.support.buses import DEADLINE, Taken, background, consuming, eventually, working
from tests.support.doomed import doomed
from tests.support.mail import BOB, NOON, make_envelope, make_leg


def make_trace(number: int) -> MailTraced:
    mail = f"{number:026d}"
    return MailTraced(mail, NOON, mail, (Trace(BOB, Stage.ACCEPTED),))


def make_mail(number: int) -> MailAccepted:
    return MailAccepted(make_envelope(BOB, mail_id=f"{number:026d}"))


@pytest.fixture
def impatient(monkeypatch):
    """A failed event is tried again at once."""
    for adapter in (sqlite_consumer, rabbitmq_consumer):
        monkeypatch.setattr(adapter, "retry_delay", lambda _: 0.05)


def together(bus, handler, kind=MailTraced, **options):
    return background(bus.consume_together(kind, handler, **options))


async def nothing_stands_in(bus) -> None:
    async def empty() -> bool:
        return not any(queue.ready or queue.taken for queue in await bus.queues())

    await eventually(empty)


class Calls:
    """A handler that remembers its calls; each waits until the test lets it go on."""

    def __init__(self, *, poison=None, waits=False) -> None:
        self.calls: list[list] = []
        self.poison = poison
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.running = 0
        self.most = 0
        if not waits:
            self.go_on.set()

    async def __call__(self, events) -> None:
        self.begun.set()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go_on.wait()
            await asyncio.sleep(0.001)
        finally:
            self.running -= 1
        if self.poison in events:
            raise ValueError("no good")
        self.calls.append(list(events))

    @property
    def events(self) -> list:
        return [event for call in self.calls for event in call]


async def test_what_gathers_while_a_call_runs_goes_into_the_next(bus):
    calls = Calls(waits=True)
    async with together(bus, calls):
        await working(bus)
        await bus.publish(make_trace(0))
        await asyncio.wait_for(calls.begun.wait(), DEADLINE)
        for number in range(1, 30):
            await bus.publish(make_trace(number))
        await eventually(lambda: all_here(bus, 30))
        calls.go_on.set()
        await nothing_stands_in(bus)

    assert [len(call) for call in calls.calls] == [1, 29]
    assert calls.events == [make_trace(number) for number in range(30)]


async def all_here(bus, count: int) -> bool:
    """Whether so many messages have arrived at this connection."""
    (traced,) = [queue for queue in await bus.queues() if queue.name == "MailTraced"]
    return traced.here == count


async def test_of_thousands_none_is_lost_and_none_doubled(bus):
    events = [make_trace(number) for number in range(2000)]
    calls = Calls()
    async with together(bus, calls):
        await working(bus)
        await asyncio.gather(*[bus.publish(event) for event in events])
        await nothing_stands_in(bus)

    assert Counter(event.id for event in calls.events) == Counter(event.id for event in events)
    assert len(calls.calls) < 200
    assert calls.most == 1


async def test_none_is_forgotten_that_comes_just_as_a_call_ends(bus):
    calls = Calls()
    async with together(bus, calls):
        await working(bus)
        for number in range(300):
            await bus.publish(make_trace(number))
        await eventually(lambda: len(calls.events) == 300)


async def test_a_backlog_is_handled_together(bus):
    events = [make_trace(number) for number in range(1000)]
    await bus.publish(*events)

    calls = Calls()
    async with together(bus, calls):
        await nothing_stands_in(bus)

    assert Counter(event.id for event in calls.events) == Counter(event.id for event in events)
    assert len(calls.calls) < 50


async def test_more_than_there_is_room_for_waits_its_turn(bus):
    calls = Calls(waits=True)
    async with together(bus, calls, limit=8):
        await working(bus)
        for start in range(0, 200, 10):
            await bus.publish(*[make_trace(start + number) for number in range(10)])
        calls.go_on.set()
        await nothing_stands_in(bus)

    assert Counter(event.id for event in calls.events) == Counter(
        make_trace(number).id for number in range(200)
    )


async def test_one_bad_event_takes_no_other_along(bus, impatient):
    events = [make_trace(number) for number in range(20)]
    calls = Calls(poison=events[7])
    async with together(bus, calls):
        await bus.publish(*events)
        await eventually(bus.parked)
        await nothing_stands_in_but_parked(bus)

    (parked,) = await bus.parked()
    assert wire.decode(parked.event) == events[7]
    assert parked.queue == "MailTraced"
    assert parked.why == "ValueError: no good"
    assert Counter(event.id for event in calls.events) == Counter(
        event.id for event in events if event != events[7]
    )


async def nothing_stands_in_but_parked(bus) -> None:
    async def empty() -> bool:
        states = [queue for queue in await bus.queues() if queue.name != "parked"]
        return not any(queue.ready or queue.taken for queue in states)

    await eventually(empty)


async def test_what_failed_alone_is_tried_again_alone(bus, impatient):
    bad = make_trace(7)
    sizes = []

    async def fails_twice(events) -> None:
        if bad in events:
            sizes.append(len(events))
            if len(sizes) <= 2:
                raise ValueError("for now")

    async with together(bus, fails_twice):
        await bus.publish(*[make_trace(number) for number in range(20)])
        await eventually(lambda: len(sizes) == 3)
        await nothing_stands_in(bus)

    assert sizes == [20, 1, 1]


async def test_garbage_holds_up_nobody(buses, bus):
    calls = Calls()
    await buses.put_garbage("MailTraced", b"\xc1")
    await bus.publish(make_trace(1))
    async with together(bus, calls):
        await eventually(bus.parked)
        await eventually(lambda: calls.events == [make_trace(1)])


async def test_a_call_that_is_cut_off_hands_its_events_over(buses):
    calls, later = Calls(waits=True), Calls()
    events = [make_trace(number) for number in range(30)]
    async with buses.open(grace=timedelta(0)) as bus, buses.open() as other:
        async with together(bus, calls):
            await working(bus)
            await bus.publish(*events[:10])
            await asyncio.wait_for(calls.begun.wait(), DEADLINE)
            await bus.publish(*events[10:])  # these have not been begun

        assert calls.running == 0
        async with together(other, later):
            await eventually(lambda: len(later.events) >= 30)
            await nothing_stands_in(other)

    assert calls.calls == []
    assert Counter(event.id for event in later.events) == Counter(event.id for event in events)


async def test_a_call_under_way_may_end_and_no_other_begins(bus):
    calls = Calls(waits=True)
    async with together(bus, calls):
        await working(bus)
        await bus.publish(make_trace(0))
        await asyncio.wait_for(calls.begun.wait(), DEADLINE)
        await bus.publish(make_trace(1))
        asyncio.get_running_loop().call_later(0.1, calls.go_on.set)

    assert calls.events == [make_trace(0)]
    later = Calls()
    async with together(bus, later):
        await eventually(lambda: later.events)
        await nothing_stands_in(bus)
    assert later.events == [make_trace(1)]


async def test_what_a_killed_process_had_comes_back(buses):
    calls = Calls()
    async with buses.open() as bus, doomed(buses.url) as process:
        await working(bus)
        await bus.publish(make_mail(1), make_mail(2))
        assert await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        process.kill()
        await process.wait()

        async with together(bus, calls, MailAccepted):
            await eventually(lambda: len(calls.events) >= 2)

    assert Counter(event.id for event in calls.events) == Counter(
        [make_mail(1).id, make_mail(2).id]
    )


async def test_a_call_outlasts_an_outage(buses, bus):
    calls = Calls(waits=True)
    async with together(bus, calls):
        await working(bus)
        await bus.publish(make_trace(1), make_trace(2))
        await asyncio.wait_for(calls.begun.wait(), DEADLINE)
        async with buses.outage():
            calls.go_on.set()
            await eventually(bus.trouble)
        await working(bus)
        await bus.publish(make_trace(3))
        await eventually(lambda: make_trace(3) in calls.events)
        await nothing_stands_in(bus)

    assert {event.id for event in calls.events} == {make_trace(number).id for number in (1, 2, 3)}


async def test_it_disturbs_no_other_queue(bus):
    calls, taken = Calls(waits=True), Taken()
    async with (
        together(bus, calls),
        consuming(bus, taken.handler, MailRouted, lane=LOCAL),
    ):
        leg = make_leg(BOB, hop=Local())
        await bus.publish(make_trace(1), leg, make_trace(2))
        assert await taken.wait_for(1) == [leg]
        calls.go_on.set()
        await nothing_stands_in(bus)

    assert Counter(event.id for event in calls.events) == Counter(
        [make_trace(1).id, make_trace(2).id]
    )
