"""What every bus promises (`kernel.bus.port`)."""

import asyncio
import contextlib
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from kernel import wire
from kernel.bus import handling, rabbitmq_consumer, sqlite_consumer
from kernel.bus.port import LOCAL, REMOTE, BusClosedError, BusUnavailableError
from kernel.model.events import (
    DirectoryChanged,
    Local,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Nowhere,
    Stage,
    Trace,
)
from kernel.tasks import begin
from tests.support.buses import DEADLINE, Taken, background, consuming, eventually, working
from tests.support.doomed import doomed
from tests.support.mail import BOB, BUSY, GONE, MAIL_ID, NOON, OK, make_envelope, make_leg


def make_mail(number: int = 0, size: int = 10) -> MailAccepted:
    return MailAccepted(make_envelope(BOB, mail_id=f"{number:026d}", content=b"x" * size))


@pytest.fixture
def impatient(monkeypatch):
    """A failed event is tried again at once."""
    monkeypatch.setattr(handling, "OUTAGE_PAUSE", 0.05)
    for adapter in (sqlite_consumer, rabbitmq_consumer):
        monkeypatch.setattr(adapter, "retry_delay", lambda _: 0.05)


class Failing:
    """A handler that fails whenever it is called."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, event) -> None:
        self.calls += 1
        raise ValueError("no good")


async def nothing_stands_in(bus) -> None:
    async def empty() -> bool:
        return not any(queue.ready or queue.taken for queue in await bus.queues())

    await eventually(empty)


# Handing over


async def test_what_is_published_is_handled_once(bus):
    taken = Taken()
    async with consuming(bus, taken.handler):
        await bus.publish(make_mail())
        await taken.wait_for(1)
        await nothing_stands_in(bus)

    assert taken.first == [make_mail()]


async def test_publishing_may_begin_outside_of_a_task(bus):
    taken = Taken()
    async with consuming(bus, taken.handler):
        asyncio.get_running_loop().call_soon(begin, bus.publish(make_mail()))
        assert await taken.wait_for(1) == [make_mail()]


async def test_what_was_published_before_anybody_listened_is_not_lost(bus):
    await bus.publish(make_mail(1), make_mail(2))

    taken = Taken()
    async with consuming(bus, taken.handler, concurrency=1):
        assert await taken.wait_for(2) == [make_mail(1), make_mail(2)]
    assert taken.again == []


async def test_it_outlives_the_connection_that_published_it(buses):
    async with buses.open() as bus:
        await bus.publish(make_mail())

    taken = Taken()
    async with buses.open() as bus, consuming(bus, taken.handler):
        assert await taken.wait_for(1) == [make_mail()]


@pytest.mark.parametrize(
    ("event", "lane"),
    [
        (make_mail(), ""),
        (make_leg(BOB), REMOTE),
        (make_leg(BOB, hop=Local()), LOCAL),
        (make_leg(BOB, hop=Nowhere(GONE)), LOCAL),
        (MailDeferred(make_leg(BOB, attempt=2), NOON, BUSY, unless=(Stage.ROUTED,)), ""),
        (MailTraced(MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.ACCEPTED, "x", OK),)), ""),
    ],
    ids=["accepted", "remote", "local", "nowhere", "deferred", "traced"],
)
async def test_each_kind_and_lane_has_a_queue_of_its_own(bus, event, lane):
    taken = Taken()
    async with consuming(bus, taken.handler, type(event), lane=lane):
        await bus.publish(event)
        assert await taken.wait_for(1) == [event]


async def test_a_lane_is_not_held_up_by_another(bus):
    taken = Taken()
    stuck = asyncio.Event()

    async def never_ends(_) -> None:
        await stuck.wait()

    async with (
        consuming(bus, never_ends, MailRouted, lane=REMOTE, concurrency=1),
        consuming(bus, taken.handler, MailRouted, lane=LOCAL),
    ):
        await bus.publish(make_leg(BOB), make_leg(BOB), make_leg(BOB, hop=Local()))
        assert await taken.wait_for(1) == [make_leg(BOB, hop=Local())]
        stuck.set()


async def test_events_of_one_publish_come_in_their_order(bus):
    events = [make_mail(number) for number in range(300)]
    taken = Taken()

    await bus.publish(*events)

    async with consuming(bus, taken.handler, concurrency=1):
        assert await taken.wait_for(300) == events


async def test_publishing_nothing_is_nothing(bus):
    await bus.publish()

    await nothing_stands_in(bus)


async def test_of_thousands_at_once_none_is_lost_and_none_doubled(bus):
    events = [make_mail(number) for number in range(2000)]
    taken = Taken()
    async with consuming(bus, taken.handler):
        await asyncio.gather(*[bus.publish(event) for event in events])
        await taken.wait_for(2000)
        await nothing_stands_in(bus)

    assert Counter(event.id for event in taken.first) == Counter(event.id for event in events)
    assert taken.again == []


async def test_large_events_pass(bus):
    events = [make_mail(number, size=900 * 1024) for number in range(5)]
    taken = Taken()
    async with consuming(bus, taken.handler):
        await asyncio.gather(bus.publish(*events[:3]), *map(bus.publish, events[3:]))
        found = await taken.wait_for(5)

    assert sorted(found, key=lambda event: event.id) == events


# Sharing


async def test_no_more_handlers_run_than_agreed(bus):
    running, most, handled = 0, 0, 0

    async def handler(_) -> None:
        nonlocal running, most, handled
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        handled += 1

    async with consuming(bus, handler, concurrency=7):
        await asyncio.gather(*[bus.publish(make_mail(number)) for number in range(100)])
        await eventually(lambda: handled == 100)

    assert most == 7


async def test_consumers_of_one_queue_share_it(buses):
    here, there = Taken(), Taken()

    async def slowly(taken, event) -> None:
        await asyncio.sleep(0.01)
        await taken.handler(event)

    async with (
        buses.open() as bus,
        buses.open() as other,
        consuming(bus, lambda event: slowly(here, event), concurrency=2),
        consuming(other, lambda event: slowly(there, event), concurrency=2),
    ):
        for number in range(100):
            await bus.publish(make_mail(number))
        await eventually(lambda: len(here.first) + len(there.first) == 100)

    assert here.first
    assert there.first
    assert len({event.id for event in here.first + there.first}) == 100


# Failing


async def test_what_failed_is_tried_again(bus, impatient):
    taken, calls = Taken(), []

    async def fails_once(event) -> None:
        calls.append(event)
        raise ValueError("for now")

    async with consuming(bus, fails_once, again=taken.handler):
        await bus.publish(make_mail())
        assert await taken.wait_for(1) == [make_mail()]
        await nothing_stands_in(bus)

    assert len(calls) == 1


async def test_a_failing_event_holds_up_nobody(bus):
    taken = Taken()

    async def handler(event) -> None:
        if event == make_mail(0):
            raise ValueError("no good")
        await taken.handler(event)

    async with consuming(bus, handler, concurrency=1):
        await bus.publish(make_mail(0))
        for number in range(1, 20):
            await bus.publish(make_mail(number))
        await asyncio.wait_for(taken.wait_for(19), 5)


async def test_the_third_failure_parks_an_event(bus, impatient):
    failing = Failing()
    async with consuming(bus, failing):
        await bus.publish(make_mail())
        await eventually(bus.parked)

    (parked,) = await bus.parked()
    assert failing.calls == 3
    assert parked.queue == "MailAccepted"
    assert parked.why == "ValueError: no good"
    assert wire.decode(parked.event) == make_mail()


async def test_an_outage_parks_nothing_however_often_a_handler_cannot_publish(bus, impatient):
    taken, failures = Taken(), []

    async def again(event) -> None:
        if len(failures) < 5:
            failures.append(event)
            raise BusUnavailableError("the disk is full")
        await taken.again_handler(event)

    async def handler(event) -> None:
        raise BusUnavailableError("the disk is full")

    async with consuming(bus, handler, again=again):
        await bus.publish(make_mail())
        await eventually(lambda: taken.again == [make_mail()])
        await nothing_stands_in(bus)

    assert await bus.parked() == ()


async def test_looking_at_the_parked_leaves_them_there(bus, impatient):
    async with consuming(bus, Failing()):
        await bus.publish(make_mail(1))
        await eventually(bus.parked)
        await bus.publish(make_mail(2))
        await eventually(lambda: is_parked(bus, 2))

    found = [await bus.parked() for _ in range(25)]
    assert found == [found[0]] * 25
    assert [wire.decode(parked.event) for parked in found[0]] == [make_mail(1), make_mail(2)]
    assert len(await bus.parked(limit=1)) == 1


async def test_a_parked_event_can_be_replayed(bus, impatient):
    async with consuming(bus, Failing()):
        await bus.publish(make_mail(1), make_mail(2))
        await eventually(lambda: is_parked(bus, 2))

    _, second = await bus.parked()
    assert await bus.replay(second.key)
    assert not await bus.replay(second.key)
    assert not await bus.replay("no such key")
    assert not await bus.replay("9" * 40)
    assert not bus.trouble()

    taken = Taken()
    async with consuming(bus, taken.handler):
        assert await taken.wait_for(1) == [wire.decode(second.event)]
    assert len(await bus.parked()) == 1


async def is_parked(bus, count: int) -> bool:
    return len(await bus.parked()) == count


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x91\xc0", wire.encode(make_leg(BOB))])
async def test_garbage_is_parked_and_holds_up_nobody(buses, bus, garbage):
    taken = Taken()
    async with consuming(bus, taken.handler, concurrency=1):
        await buses.put_garbage("MailAccepted", garbage)
        await bus.publish(make_mail())
        assert await taken.wait_for(1) == [make_mail()]
        await eventually(bus.parked)

    (parked,) = await bus.parked()
    assert parked.queue == "MailAccepted"
    assert parked.why.startswith("unreadable")


# Vanishing


async def test_a_consumer_that_is_cut_off_hands_over(buses):
    async with buses.open(grace=timedelta(0)) as bus, buses.open() as other:
        begun = asyncio.Event()

        async def never_ends(_) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with consuming(bus, never_ends):
            await bus.publish(make_mail())
            await asyncio.wait_for(begun.wait(), DEADLINE)

        taken = Taken()
        async with consuming(other, taken.handler, again=taken.again_handler):
            await taken.wait_for(1)

    assert taken.again == [make_mail()]
    assert taken.first == []


async def test_a_consumer_that_stops_gives_its_handlers_time_to_end(bus):
    begun, done = asyncio.Event(), []

    async def takes_a_while(event) -> None:
        begun.set()
        await asyncio.sleep(0.2)
        done.append(event)

    async with consuming(bus, takes_a_while):
        await bus.publish(make_mail())
        await asyncio.wait_for(begun.wait(), DEADLINE)

    assert done == [make_mail()]
    await nothing_stands_in(bus)


async def test_a_consumer_that_stops_begins_nothing_new(bus):
    begun = []
    go_on = asyncio.Event()

    async def handler(event) -> None:
        begun.append(event)
        await go_on.wait()

    async with consuming(bus, handler, concurrency=1):
        await bus.publish(*[make_mail(number) for number in range(10)])
        await eventually(lambda: begun)
        asyncio.get_running_loop().call_later(0.1, go_on.set)

    assert begun == [make_mail(0)]
    taken = Taken()
    async with consuming(bus, taken.handler):
        found = await taken.wait_for(9)
    assert sorted(event.id for event in found) == [make_mail(n).id for n in range(1, 10)]


async def test_what_a_killed_process_had_comes_back(buses):
    taken = Taken()
    async with buses.open() as bus, doomed(buses.url) as process:
        await working(bus)
        await bus.publish(make_mail())
        assert await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        process.kill()
        await process.wait()

        async with consuming(bus, taken.handler, again=taken.again_handler):
            await taken.wait_for(1)

    assert taken.again == [make_mail()]
    assert taken.first == []


async def test_an_event_that_kills_its_workers_is_parked_alone(buses):
    events = [make_mail(number) for number in range(30)]
    everything, poison = {event.id for event in events}, events[11]
    handled: set[str] = set()

    async def read(process) -> None:
        async for line in process.stdout:
            handled.add(line.decode().strip())

    async def is_over(process) -> bool:
        if process.returncode is not None:
            return True
        return handled == everything and bool(await bus.parked())

    async with buses.open() as bus:
        await working(bus)
        await asyncio.gather(*[bus.publish(event) for event in events])
        while not (handled == everything and await bus.parked()):
            async with doomed(buses.url, poison.id) as process, background(read(process)):
                await eventually(partial(is_over, process))
        parked = await bus.parked()

    assert {wire.decode(found.event).id for found in parked} == {poison.id}
    assert parked[0].why == "its worker died while it had the event"


# Broadcasts


async def test_a_broadcast_reaches_all_who_listen(buses):
    heard: list[str] = []

    def ear(name):
        async def listener(notice) -> None:
            heard.append(f"{name} {notice.key}")

        return listener

    async with (
        buses.open() as bus,
        buses.open() as other,
        background(bus.listen(DirectoryChanged, ear("one"))),
        background(bus.listen(DirectoryChanged, ear("two"))),
        background(other.listen(DirectoryChanged, ear("three"))),
    ):
        await working(bus)
        await working(other)
        async with background(bus.listen(DirectoryChanged, ear("leaver"))):
            pass
        await bus.broadcast(DirectoryChanged("users", "a"))
        await other.broadcast(DirectoryChanged("users", "b"))
        await eventually(lambda: len(heard) >= 6)

    everybody = ("one", "two", "three")
    assert sorted(heard) == sorted(f"{name} {key}" for name in everybody for key in "ab")


async def test_nobody_need_listen_to_a_broadcast(bus):
    await bus.broadcast(DirectoryChanged("users"))


async def test_a_listener_that_fails_hears_the_next(bus):
    heard = []

    async def listener(notice) -> None:
        heard.append(notice.key)
        raise ValueError("no good")

    async with background(bus.listen(DirectoryChanged, listener)):
        await working(bus)
        await bus.broadcast(DirectoryChanged("users", "a"))
        await bus.broadcast(DirectoryChanged("users", "b"))
        await eventually(lambda: heard == ["a", "b"])


# Trouble


async def test_publishing_in_an_outage_fails_in_time_and_works_again_afterwards(buses, bus):
    taken = Taken()
    async with consuming(bus, taken.handler, again=taken.again_handler):
        async with buses.outage():
            with pytest.raises(BusUnavailableError) as caught:
                await asyncio.wait_for(bus.publish(make_mail(1)), 12)
            assert str(caught.value)
            assert bus.trouble()

        await working(bus)
        await bus.publish(make_mail(2))
        await eventually(lambda: make_mail(2) in taken.first)


async def test_queues_tell_what_stands_in_them(bus):
    await bus.publish(make_mail())
    states = {state.name: state for state in await bus.queues()}
    assert states["MailAccepted"].ready == 1
    assert states["MailAccepted"].consumers == 0
    assert states["MailRouted.remote"].ready == 0
    assert states["parked"].ready == 0

    go_on = asyncio.Event()

    async def handler(_) -> None:
        await go_on.wait()

    async def taken() -> bool:
        states = {state.name: state for state in await bus.queues()}
        state = states["MailAccepted"]
        return (state.ready, state.taken, state.consumers) == (0, 1, 1)

    async with consuming(bus, handler):
        await eventually(taken)
        go_on.set()


async def test_a_closed_bus_says_so(buses):
    async with buses.open() as bus:
        await working(bus)

    with pytest.raises(BusClosedError):
        await bus.publish(make_mail())
    with pytest.raises(BusClosedError):
        await bus.broadcast(DirectoryChanged("users"))


async def test_a_publisher_that_gives_up_disturbs_nobody(bus):
    taken = Taken()
    async with consuming(bus, taken.handler):
        impatient = asyncio.create_task(bus.publish(make_mail(1)))
        await asyncio.sleep(0)
        impatient.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await impatient
        await bus.publish(make_mail(2))
        await eventually(lambda: make_mail(2) in taken.first)
