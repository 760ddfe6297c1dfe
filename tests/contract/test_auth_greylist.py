"""The greylist: who is remembered, by all processes together, over both databases."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.http import Peer, PeerUnavailableError
from kernel.model.address import Address
from kernel.model.questions import Acquaintance, GreylistAnswer, GreylistQuestion
from services.auth.adapters import greylist
from services.auth.core.greylist import ENOUGH, MEMORY, Trace
from services.auth.errands import Errands
from services.auth.greylisting import PRUNE_AFTER, Greylisting
from services.auth.main import open_desk
from tests.support.fakes import make_platform
from tests.support.mail import ANN, BOB, EVE, NOON

NEW, EARLY, BACK, KNOWN = Acquaintance
STRANGER = "203.0.113.9"
DELAY = timedelta(minutes=5)


def mail(*recipients, sender=EVE, client=STRANGER):
    return GreylistQuestion(client, sender, recipients or (ANN,), int(DELAY.total_seconds()))


async def who(auth, *recipients, **more):
    answer = await auth.peer.ask("/internal/greylist", mail(*recipients, **more), GreylistAnswer)
    return answer.acquaintance


async def rows(auth):
    async with auth.desk.database.reading() as db:
        return (await db.exec_driver_sql("SELECT count(*) FROM greylist")).scalar()


async def test_who_tries_again_passes_and_is_remembered(auth, clock):
    assert await who(auth) is NEW
    clock.advance(timedelta(minutes=4))
    assert await who(auth) is EARLY
    clock.advance(timedelta(minutes=1))
    assert await who(auth) is BACK
    assert await who(auth) is KNOWN
    clock.advance(MEMORY - timedelta(seconds=1))
    assert await who(auth) is KNOWN
    clock.advance(MEMORY - timedelta(seconds=1))
    assert await who(auth) is KNOWN
    clock.advance(MEMORY)
    assert await who(auth) is NEW


async def test_the_null_sender_is_known_by_client_and_recipient(auth, clock):
    assert await who(auth, sender=None) is NEW
    clock.advance(DELAY)

    assert await who(auth, sender=None) is BACK
    assert await who(auth, BOB, sender=None) is NEW
    assert await who(auth) is NEW


async def test_a_network_that_came_back_with_several_mails_is_known(auth, clock):
    people = [Address(f"u{number}", "ours.test") for number in range(ENOUGH)]
    for someone in people:
        assert await who(auth, someone) is NEW
    clock.advance(DELAY)
    for someone in people:
        assert await who(auth, someone) is BACK

    assert await who(auth, sender=BOB, client="203.0.113.200") is KNOWN
    assert await who(auth, sender=BOB, client="203.0.114.9") is NEW


async def test_many_recipients_are_one_question(auth, clock):
    everybody = [Address(f"u{number}", "ours.test") for number in range(1000)]

    assert await who(auth, *everybody) is NEW
    clock.advance(DELAY)
    assert await who(auth, *everybody) is BACK
    assert await rows(auth) == 1001


async def test_a_trial_leaves_no_trace(auth, clock):
    trial = replace(mail(), trial=True)
    for _ in range(2):
        assert (await auth.desk.greylisting.answer(trial)).acquaintance is NEW
    assert await rows(auth) == 0

    await who(auth)
    clock.advance(DELAY)
    for _ in range(2):
        assert (await auth.desk.greylisting.answer(trial)).acquaintance is BACK


async def test_other_processes_remember_the_same(auth, url, clock):
    settings = {"database_url": url}
    assert await who(auth) is NEW
    clock.advance(DELAY)

    async with open_desk(make_platform(settings=settings, clock=clock)) as other:
        assert (await other.greylisting.answer(mail())).acquaintance is BACK

    assert await who(auth) is KNOWN


async def test_many_who_ask_at_the_same_time_all_have_an_answer(auth):
    several = [ANN, BOB, EVE]

    answers = await asyncio.gather(
        *(who(auth, *several[turn % 3 :], *several[: turn % 3]) for turn in range(20))
    )

    assert set(answers) == {NEW, EARLY}
    assert await rows(auth) == 3


async def test_what_no_longer_counts_is_removed_in_passing(auth, clock):
    for number in range(3):
        await who(auth, Address(f"u{number}", "ours.test"))
    clock.advance(timedelta(days=1))

    await who(auth)

    async with asyncio.timeout(10):
        while await rows(auth) > 1:  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.01)


async def test_the_greylist_is_bounded_and_keeps_who_came_back(auth):
    heard = {f"{number:064}": Trace(NOON, NOON + timedelta(seconds=number)) for number in range(20)}
    known = {f"k{number:063}": Trace(NOON, NOON, 1) for number in range(5)}
    async with auth.desk.database.writing() as db:
        await greylist.keep(db, heard | known)

        await greylist.prune(db, NOON, most=7)

        left = await greylist.find(db, heard.keys() | known)
    assert left == known | dict(list(heard.items())[-2:])


async def test_a_flood_is_cut_down_before_the_time_comes(auth, clock):
    errands = Errands()
    small = Greylisting(auth.desk.database, clock, errands, most=10)
    flood = tuple(Address(f"u{number}", "ours.test") for number in range(PRUNE_AFTER))

    await small.answer(mail(*flood))
    await errands.aclose()

    assert await rows(auth) == 10


async def test_only_services_may_ask(auth):
    async with Peer(auth.url, "another token") as peer:
        with pytest.raises(PeerUnavailableError, match="401"):
            await peer.ask("/internal/greylist", mail(), GreylistAnswer)
