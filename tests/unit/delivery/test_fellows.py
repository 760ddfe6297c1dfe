import asyncio

import pytest

from kernel.bus.port import BusUnavailableError
from kernel.model.events import WorkerSeen
from services.delivery import fellows as module
from services.delivery.fellows import SILENCE, Fellows
from tests.support.fakes import RecordingBus


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(module, "HEARING", 0.01)


class Meeting:
    """Workers over one bus, on a clock that the test moves."""

    def __init__(self, *names):
        self.bus, self.now = RecordingBus(), 0.0
        self.fellows = {name: self.newcomer(name) for name in names}

    def newcomer(self, name):
        fellows = Fellows(self.bus, lambda: self.now, name)
        self.bus.listeners.append((WorkerSeen, fellows.hear))
        return fellows

    async def all_speak(self):
        for fellows in self.fellows.values():
            await fellows._say()


async def meeting(*names):
    meeting = Meeting(*names)
    await meeting.all_speak()
    return meeting


async def test_everybody_knows_everybody():
    met = await meeting("ann", "bob", "cat")

    assert {fellows.workers for fellows in met.fellows.values()} == {frozenset(met.fellows)}
    portions = [fellows.portion(20, "site") for fellows in met.fellows.values()]
    assert sorted(portions) == [6, 7, 7]


async def test_one_alone_has_it_all():
    assert Fellows(RecordingBus()).portion(20, "site") == 20


async def test_who_leaves_is_gone_at_once():
    met = await meeting("ann", "bob")
    bob = met.fellows["bob"]
    bob._present.set()

    await bob.leave()

    assert met.fellows["ann"].allowance(20, "site") == 20


async def test_who_is_silent_is_gone_after_a_while():
    met = await meeting("ann", "bob")
    ann = met.fellows["ann"]

    met.now = SILENCE
    ann._forget_the_silent()
    assert "bob" in ann.workers

    met.now = SILENCE + 1
    ann._forget_the_silent()
    assert "bob" not in ann.workers


async def test_nobody_is_taken_for_gone_while_nobody_can_be_heard():
    met = await meeting("ann", "bob")
    met.bus.failure = BusUnavailableError("out of reach")
    met.now = 60.0

    met.fellows["ann"]._forget_the_silent()
    met.bus.failure = None
    met.fellows["ann"]._forget_the_silent()

    assert "bob" in met.fellows["ann"].workers


async def test_a_newcomer_takes_only_what_the_others_have_left():
    met = await meeting("ann")
    ann, taken = met.fellows["ann"], {"site": 5}
    ann.loads = lambda: taken
    bob = met.newcomer("bob")
    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(ann.run())
        ann._present.set()
        await bob.join()
        speaking.cancel()

    assert ann.allowance(6, "site") == 3
    assert bob.allowance(6, "site") == 1
    taken["site"] = 3
    await ann._say()
    assert bob.allowance(6, "site") == 3


async def test_only_who_joins_others_has_a_burst_to_earn():
    met = await meeting("ann")
    await met.fellows["ann"].join()
    bob = met.newcomer("bob")
    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(met.fellows["ann"].run())
        await bob.join()
        speaking.cancel()

    assert met.fellows["ann"].joined is None
    assert bob.joined == 0.0


async def test_the_others_hear_of_the_busiest_sites_alone():
    bus = RecordingBus()
    fellows = Fellows(bus)
    fellows.loads = lambda: {f"site{n}": n for n in range(1_000)}

    await fellows._say()

    (seen,) = bus.notices
    assert len(seen.site_loads) == module.MOST_SITES
    assert min(seen.site_loads.values()) == 1_000 - module.MOST_SITES
