"""The router's directory, against an HTTP server that answers as auth does."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kernel import wire
from kernel.http import Peer
from kernel.model.address import Address
from kernel.model.events import DirectoryChanged
from kernel.model.questions import Place, Whereabouts
from services.router.adapters.directory import CachedDirectory
from services.router.ports import DirectoryUnavailableError
from tests.support.mail import ANN, BOB, CAT


class Auth:
    """Answers questions about whereabouts; counts the addresses it was asked about."""

    def __init__(self):
        self.asked = []
        self.broken = False
        self.open = asyncio.Event()
        self.open.set()

    async def whereabouts(self, request):
        await self.open.wait()
        addresses = wire.from_json(await request.read(), list[Address])
        self.asked.append(addresses)
        if self.broken:
            return web.Response(status=500)
        return web.Response(body=wire.to_json([answer(address) for address in addresses]))


def answer(address):
    if address.domain == "ours.test":
        return Whereabouts(address, Place.MAILBOX, (address,))
    return Whereabouts(address, Place.REMOTE, whole_domain=True)


@asynccontextmanager
async def served(auth):
    app = web.Application()
    app.router.add_post("/internal/whereabouts", auth.whereabouts)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Watch:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
async def auth():
    return Auth()


@pytest.fixture
async def directory(auth, watch):
    async with served(auth) as url, Peer(url, "token") as peer:
        yield CachedDirectory(peer, watch, remember=5)


async def test_an_answer_is_remembered(directory, auth):
    first = await directory.look_up([ANN])

    assert first == {ANN: answer(ANN)}
    assert directory.recall([ANN]) == first
    assert await directory.look_up([ANN]) == first
    assert auth.asked == [[ANN]]


async def test_an_answer_is_forgotten_after_a_while(directory, auth, watch):
    await directory.look_up([ANN])

    watch.seconds = 5.0

    assert directory.recall([ANN]) == {}
    await directory.look_up([ANN])
    assert auth.asked == [[ANN], [ANN]]


async def test_an_answer_is_as_old_as_its_question(directory, auth, watch):
    auth.open.clear()
    asker = asyncio.create_task(directory.look_up([ANN]))
    await asyncio.sleep(0)

    watch.seconds = 4.0
    auth.open.set()
    await asker
    watch.seconds = 5.0

    assert directory.recall([ANN]) == {}


async def test_an_answer_about_a_whole_domain_answers_for_its_other_addresses(directory, auth):
    await directory.look_up([BOB])

    assert directory.recall([CAT]) == {CAT: answer(BOB)}
    assert auth.asked == [[BOB]]


async def test_many_askers_of_one_address_ask_once(directory, auth):
    auth.open.clear()
    askers = [asyncio.create_task(directory.look_up([ANN])) for _ in range(20)]
    await asyncio.sleep(0)
    auth.open.set()

    answers = await asyncio.gather(*askers)

    assert answers == [{ANN: answer(ANN)}] * 20
    assert auth.asked == [[ANN]]


async def test_one_asker_who_leaves_disturbs_no_other(directory, auth):
    auth.open.clear()
    leaver = asyncio.create_task(directory.look_up([ANN]))
    stayer = asyncio.create_task(directory.look_up([ANN]))
    await asyncio.sleep(0)
    leaver.cancel()
    auth.open.set()

    assert await stayer == {ANN: answer(ANN)}


async def test_a_change_of_the_directory_drops_what_is_known(directory):
    await directory.look_up([ANN, BOB])

    await directory.forget(DirectoryChanged("users"))

    assert directory.recall([ANN, BOB]) == {}


@pytest.mark.parametrize("kind", ["grants", "lockouts", "app-passwords", "api-keys"])
async def test_a_change_that_concerns_logins_alone_drops_nothing(directory, kind):
    known = await directory.look_up([ANN, BOB])

    await directory.forget(DirectoryChanged(kind, "x"))

    assert directory.recall([ANN, BOB]) == known


async def test_an_answer_given_before_a_change_is_not_remembered_after_it(directory, auth):
    auth.open.clear()
    asker = asyncio.create_task(directory.look_up([ANN]))
    await asyncio.sleep(0)

    await directory.forget(DirectoryChanged("users"))
    auth.open.set()

    assert await asker == {ANN: answer(ANN)}
    assert directory.recall([ANN]) == {}


async def test_an_auth_that_fails_is_unavailable_and_health_can_say_so(directory, auth):
    auth.broken = True
    with pytest.raises(DirectoryUnavailableError):
        await directory.look_up([ANN])
    assert "answered 500" in directory.trouble()

    auth.broken = False

    assert await directory.look_up([ANN]) == {ANN: answer(ANN)}
    assert directory.trouble() == ""
