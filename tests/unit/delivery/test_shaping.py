import asyncio
from contextlib import ExitStack
from datetime import timedelta

import pytest

from kernel.model.events import SiteResumed, SiteSuspended, WorkerSeen
from kernel.model.rate import Rate
from kernel.model.reply import Reply
from kernel.model.sending import Route
from services.delivery.core.pace import SOON
from services.delivery.core.suspension import LAPSE
from services.delivery.fellows import Fellows
from services.delivery.ports import Later, Site, Turn
from services.delivery.shaping import Manners, Shaping
from tests.support.fakes import RecordingBus
from tests.support.mail import NOON

DOWN = Reply(451, "4.4.1", "Nobody there")
MINUTE = timedelta(minutes=1)
SITE = Site("site", ())


class Company:
    """Workers over one bus, on one clock; a notice is heard when it is sent."""

    def __init__(self, names="a", **manners):
        self.bus, self.now = RecordingBus(), NOON
        self._manners = manners
        self.workers = {}
        for name in names:
            self.join(name)

    def join(self, name):
        fellows = Fellows(self.bus, self._monotonic, name)
        shaping = Shaping(
            Manners(**{"patience": 0.01, **self._manners}),
            fellows,
            lambda: self.now,
            self._monotonic,
        )
        self.bus.listeners += [
            (WorkerSeen, fellows.hear),
            (SiteSuspended, shaping.hear_suspended),
            (SiteResumed, shaping.hear_resumed),
        ]
        self.workers[name] = shaping
        return shaping

    def _monotonic(self):
        return (self.now - NOON).total_seconds()

    async def speak(self):
        for shaping in self.workers.values():
            await shaping._fellows._say()

    async def fail(self, name, times, site=SITE):
        """Let so many connections of a worker fail, and all hear of what it does about it."""
        for _ in range(times):
            turn = await self.workers[name].enter(site)
            self.workers[name].note(turn, DOWN)
            self.workers[name].leave(turn)
        await self.speak()


async def company(names="a", **manners):
    made = Company(names, **manners)
    await made.speak()
    return made


async def enter_all(shaping, count, site=SITE):
    """Return so many answers, those of them first that let a leg go."""
    return [await shaping.enter(site) for _ in range(count)]


def turns(answers):
    return [answer for answer in answers if isinstance(answer, Turn)]


async def test_a_site_that_nobody_knows_gets_a_few_connections():
    us = await company()

    answers = await enter_all(us.workers["a"], 8)

    assert len(turns(answers)) == 5
    assert {answer.why.text for answer in answers[5:]} == {
        "As many messages as may be are under way to this site"
    }


async def test_and_more_as_all_goes_well_up_to_its_limit():
    us = await company(connections=8)
    shaping = us.workers["a"]
    for _ in range(100):
        for turn in turns(await enter_all(shaping, shaping.room("site") or 5)):
            shaping.note(turn, None)
            shaping.leave(turn)

    assert len(turns(await enter_all(shaping, 20))) == 8


async def test_a_route_has_its_own_limit():
    site = Site("site", (), route=Route("*", connections=2))
    us = await company()

    assert len(turns(await enter_all(us.workers["a"], 5, site))) == 2


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_workers_together_keep_a_site_to_its_limit(limit):
    us = await company("abc", connections=limit)

    answers = [await enter_all(shaping, limit) for shaping in us.workers.values()]

    assert sum(len(turns(each)) for each in answers) == limit


async def test_workers_together_keep_to_the_limit_of_all_sites():
    us = await company("ab", connections_in_all=7)

    answers = [
        await shaping.enter(Site(f"site{number}", ()))
        for number in range(20)
        for shaping in us.workers.values()
    ]

    assert len(turns(answers)) == 7


async def test_workers_together_keep_a_rate():
    us = await company("ab", rates=(Rate(3, 60),))

    async def sent():
        count = 0
        for shaping in us.workers.values():
            for turn in turns(await enter_all(shaping, 3)):
                shaping.leave(turn)
                count += 1
        return count

    assert await sent() == 3
    us.now += MINUTE
    assert await sent() == 3


async def test_what_exceeds_a_rate_comes_back_when_it_may_go():
    us = await company(rates=(Rate(1, 60),))
    await us.workers["a"].enter(SITE)

    later = await us.workers["a"].enter(SITE)

    assert NOON + 59 * timedelta(seconds=1) < later.until <= NOON + MINUTE


async def test_who_has_no_part_in_a_rate_sends_the_leg_on_soon():
    us = await company("abc", rates=(Rate(1, 86_400),))

    answers = [await shaping.enter(SITE) for shaping in us.workers.values()]

    assert len(turns(answers)) == 1
    assert all(a.until < NOON + timedelta(seconds=1) for a in answers if isinstance(a, Later))


async def test_sites_share_the_rate_of_their_source():
    us = await company(source_rates=(Rate(2, 60),))
    here, there = Route("*", source="192.0.2.1"), Route("*", source="192.0.2.2")

    sites = [Site(f"site{number}", (), route=here) for number in range(4)]
    answers = [await us.workers["a"].enter(site) for site in sites]

    assert len(turns(answers)) == 2
    assert isinstance(await us.workers["a"].enter(Site("x", (), route=there)), Turn)


async def test_a_site_that_is_down_is_left_alone_by_all():
    us = await company("abc")

    await us.fail("a", 5)

    assert [n for n in us.bus.notices if isinstance(n, SiteSuspended)] == [
        SiteSuspended("site", NOON + MINUTE, DOWN, "a")
    ]
    for shaping in us.workers.values():
        later = await shaping.enter(SITE)
        assert later.why == DOWN
        assert later.until >= NOON + MINUTE


async def test_a_newcomer_is_told_of_it():
    us = await company("a")
    await us.fail("a", 5)
    newcomer = us.join("b")
    await newcomer._fellows._say()
    await us.speak()

    assert isinstance(await newcomer.enter(SITE), Later)


async def test_then_one_worker_tries_it_with_one_message():
    us = await company("abc")
    await us.fail("a", 5)
    us.now += MINUTE

    answers = {name: await enter_all(each, 3) for name, each in us.workers.items()}

    assert [len(turns(answers[name])) for name in "abc"] == [1, 0, 0]


async def test_a_success_resumes_it_for_all():
    us = await company("abc")
    await us.fail("a", 5)
    us.now += MINUTE
    turn = await us.workers["a"].enter(SITE)
    us.workers["a"].note(turn, None)
    us.workers["a"].leave(turn)
    await us.speak()

    answers = [await shaping.enter(SITE) for shaping in us.workers.values()]

    assert len(turns(answers)) == 3


async def test_a_failure_suspends_it_for_longer():
    us = await company("ab")
    await us.fail("a", 5)
    for minutes in (2, 4, 8, 16, 30, 30):
        us.now = us.workers["b"]._sites["site"].suspension.until
        await us.fail("a", 1)

        assert us.workers["b"]._sites["site"].suspension.until == us.now + minutes * MINUTE


async def test_what_was_under_way_when_it_was_suspended_does_not_count_twice():
    us = await company(cohorts=0.5)
    shaping = us.workers["a"]
    for turn in turns(await enter_all(shaping, 5)):
        shaping.note(turn, DOWN)
        shaping.leave(turn)

    assert shaping._sites["site"].suspension.until == NOON + MINUTE


async def test_another_tries_it_when_the_one_who_should_is_gone():
    us = await company("abc")
    await us.fail("a", 5)
    leaver = us.workers.pop("a")
    leaver._fellows._present.set()
    await leaver._fellows.leave()
    us.now += MINUTE

    answers = [await shaping.enter(SITE) for shaping in us.workers.values()]

    assert len(turns(answers)) == 1


async def test_a_resumption_that_was_missed_heals():
    us = await company("ab")
    await us.fail("a", 5)

    us.now += MINUTE
    assert isinstance(await us.workers["b"].enter(SITE), Later)
    us.now += LAPSE
    assert isinstance(await us.workers["b"].enter(SITE), Turn)


async def test_who_waits_in_vain_is_not_kept():
    us = await company(connections=1)
    shaping = us.workers["a"]
    await shaping.enter(SITE)

    later = await shaping.enter(SITE)

    assert later.until >= NOON + SOON


async def test_the_turn_of_who_waits_comes():
    us = await company(connections=1, patience=10.0)
    shaping = us.workers["a"]
    turn = await shaping.enter(SITE)
    waiting = asyncio.create_task(shaping.enter(SITE))
    await asyncio.sleep(0)
    shaping.leave(turn)

    assert isinstance(await waiting, Turn)


async def test_who_is_cut_short_while_it_waits_takes_no_place():
    us = await company(connections=1, patience=10.0)
    shaping = us.workers["a"]
    turn = await shaping.enter(SITE)
    first, second = (asyncio.create_task(shaping.enter(SITE)) for _ in range(2))
    await asyncio.sleep(0)
    shaping.leave(turn)
    first.cancel()

    assert isinstance(await second, Turn)
    assert shaping._sites["site"].turnstile.inside == 1


async def test_nobody_waits_for_a_site_that_is_known_to_be_slow():
    us = await company(connections=1, patience=30.0)
    shaping = us.workers["a"]
    turn = await shaping.enter(SITE)
    us.now += MINUTE
    shaping.leave(turn)
    await shaping.enter(SITE)

    async with asyncio.timeout(10):
        assert isinstance(await shaping.enter(SITE), Later)


async def test_a_site_has_not_all_the_slots_of_a_worker():
    us = await company(slots=30)
    shaping = us.workers["a"]
    with ExitStack() as stack:
        held = [stack.enter_context(shaping.holding("slow")) for _ in range(30)]
        other = stack.enter_context(shaping.holding("other"))

    assert held.count(None) == 20
    assert all(isinstance(later, Later) for later in held[20:])
    assert other is None
    assert shaping._in_hand == {}


async def test_what_is_known_of_sites_is_bounded(monkeypatch):
    monkeypatch.setattr("services.delivery.shaping.REMEMBERED", 10)
    us = await company()
    shaping = us.workers["a"]
    busy = await shaping.enter(SITE)
    with shaping.holding("site"):
        for number in range(50):
            turn = await shaping.enter(Site(f"site{number}", ()))
            shaping.leave(turn)
        shaping.leave(busy)

    assert len(shaping._sites) <= 11


async def test_a_worker_whose_clock_is_ahead_keeps_no_mail_for_longer_than_a_site_rests():
    us = await company("a")
    a = us.workers["a"]
    await a.hear_suspended(SiteSuspended("site", NOON + timedelta(hours=9), DOWN, "b"))

    us.now = NOON + Manners().rest.longest

    assert isinstance(await a.enter(SITE), Turn)
