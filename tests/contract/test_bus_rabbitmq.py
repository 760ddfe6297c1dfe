"""What is RabbitMQ's alone: packs, their redelivery, and a broker that comes and goes."""

import asyncio
from datetime import timedelta

from kernel.bus.port import REMOTE
from kernel.model.events import MailAccepted, MailRouted, Remote
from tests.support.buses import Taken, background, consuming, eventually, working
from tests.support.mail import BOB, make_envelope, make_leg


def make_mail(number: int) -> MailAccepted:
    return MailAccepted(make_envelope(BOB, mail_id=f"{number:026d}"))


async def test_concurrent_events_travel_in_packs(rabbitmq_buses):
    async with rabbitmq_buses.open() as bus:
        await working(bus)
        await asyncio.gather(*[bus.publish(make_mail(number)) for number in range(200)])

    assert await rabbitmq_buses.messages("MailAccepted") <= 10


async def test_remote_legs_travel_in_small_packs(rabbitmq_buses):
    legs = [make_leg(BOB, hop=Remote(f"{number}.test")) for number in range(40)]
    async with rabbitmq_buses.open() as bus:
        await working(bus)
        await bus.publish(*legs)
        assert await rabbitmq_buses.messages("MailRouted.remote") == 3

        taken = Taken()
        async with consuming(bus, taken.handler, MailRouted, lane=REMOTE):
            assert await taken.wait_for(40) == legs


async def test_one_failure_in_a_pack_repeats_no_other(rabbitmq_buses):
    taken = Taken()

    async def handler(event) -> None:
        if event == make_mail(7):
            raise ValueError("for now")
        await taken.handler(event)

    async with rabbitmq_buses.open() as bus:
        await working(bus)
        await bus.publish(*[make_mail(number) for number in range(20)])
        async with consuming(bus, handler, again=taken.again_handler):
            await taken.wait_for(20)

    assert len(taken.first) == 19
    assert taken.again == [make_mail(7)]


async def test_what_is_left_of_a_pack_is_handed_back_without_what_is_done(rabbitmq_buses):
    done = Taken()

    async def handler(event) -> None:
        if event in (make_mail(3), make_mail(4)):
            await asyncio.Event().wait()
        await done.handler(event)

    async with rabbitmq_buses.open(grace=timedelta(0)) as bus:
        await working(bus)
        await bus.publish(*[make_mail(number) for number in range(10)])
        async with consuming(bus, handler):
            await done.wait_for(8)

        taken = Taken()
        async with consuming(bus, taken.handler, again=taken.again_handler):
            await taken.wait_for(2)

    assert taken.again == [make_mail(3), make_mail(4)]
    assert taken.first == []


async def test_a_redelivered_pack_is_handled_event_by_event(rabbitmq_buses):
    begun, running, most = Taken(), 0, 0

    async def never_ends(event) -> None:
        await begun.handler(event)
        await asyncio.Event().wait()

    async def again(event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await begun.again_handler(event)

    async with rabbitmq_buses.open() as bus:
        await working(bus)
        await bus.publish(*[make_mail(number) for number in range(10)])
        async with consuming(bus, never_ends, again=again):
            await begun.wait_for(10)
            async with rabbitmq_buses.outage():
                await eventually(bus.trouble)
            await begun.wait_for(20)

    assert begun.again == [make_mail(number) for number in range(10)]
    assert most == 1


async def test_a_message_that_is_no_pack_is_parked(rabbitmq_buses):
    async with rabbitmq_buses.open() as bus:
        await working(bus)
        await rabbitmq_buses.put_raw("MailAccepted", b"\xc1")
        async with consuming(bus, Taken().handler):
            await eventually(bus.parked)
        (parked,) = await bus.parked()

    assert parked.event == b"\xc1"
    assert parked.queue == "MailAccepted"


async def test_a_bus_may_be_opened_before_its_broker_is_there(rabbitmq_buses):
    taken = Taken()
    async with (
        rabbitmq_buses.outage(),
        rabbitmq_buses.open() as bus,
        background(bus.consume(MailAccepted, taken.handler)),
    ):
        await eventually(lambda: "connection to" in bus.trouble())
        await rabbitmq_buses.mend()
        await working(bus)
        await bus.publish(make_mail(1))
        assert await taken.wait_for(1) == [make_mail(1)]


async def test_a_queue_that_was_deleted_is_made_anew(rabbitmq_buses):
    taken = Taken()
    async with rabbitmq_buses.open() as bus, consuming(bus, taken.handler):
        await rabbitmq_buses.delete("MailAccepted")
        await eventually(bus.trouble)
        await working(bus)
        await bus.publish(make_mail(1))
        assert await taken.wait_for(1) == [make_mail(1)]


async def test_a_bus_closes_whatever_its_connections_are_just_doing(rabbitmq_buses):
    """Cancelled amid connecting, the library may swallow the cancellation (one time in thirty)."""
    for hesitation in range(60):
        async with rabbitmq_buses.open():
            await asyncio.sleep(hesitation / 2000)
