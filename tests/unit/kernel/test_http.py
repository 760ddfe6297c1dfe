"""A peer that cannot be asked is a value, never a surprise."""

import pytest
from aiohttp import web

from kernel.http import Peer, PeerUnavailableError, shows_token
from kernel.model.questions import Place, RelayQuestion, Whereabouts
from kernel.wire import from_json, to_json
from tests.support.mail import ANN, BOB

QUESTION = RelayQuestion("mx", "192.0.2.1", "client.test", None, BOB)


@pytest.fixture
async def url():
    """A service that answers questions in its own ways."""

    async def whereabouts(request):
        if not shows_token(request.headers.get("Authorization"), "secret"):
            return web.Response(status=401)
        addresses = from_json(await request.read(), list[type(ANN)])
        return web.Response(body=to_json([Whereabouts(a, Place.REMOTE) for a in addresses]))

    async def broken(request):
        return web.Response(body=b"[{]")

    app = web.Application()
    app.router.add_post("/whereabouts", whereabouts)
    app.router.add_post("/broken", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def test_values_go_there_and_back(url):
    async with Peer(url, "secret") as peer:
        answer = await peer.ask("/whereabouts", [ANN, BOB], list[Whereabouts])

    assert answer == [Whereabouts(ANN, Place.REMOTE), Whereabouts(BOB, Place.REMOTE)]


def test_a_question_survives_its_encoding():
    assert from_json(to_json(QUESTION), RelayQuestion) == QUESTION


@pytest.mark.parametrize("path", ["/broken", "/missing"])
async def test_an_answer_that_is_none_means_unavailable(url, path):
    async with Peer(url, "secret") as peer:
        with pytest.raises(PeerUnavailableError):
            await peer.ask(path, QUESTION, RelayQuestion)


async def test_a_wrong_credential_means_unavailable(url):
    async with Peer(url, "wrong") as peer:
        with pytest.raises(PeerUnavailableError):
            await peer.ask("/whereabouts", [ANN], list[Whereabouts])


async def test_nobody_there_means_unavailable():
    async with Peer("http://127.0.0.1:9", "secret", timeout=1) as peer:
        with pytest.raises(PeerUnavailableError):
            await peer.get("/x", Whereabouts)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic secret", "secret", "Bearer \udcff"],
)
def test_only_the_token_itself_is_the_token(header):
    assert not shows_token(header, "secret")
    assert shows_token("Bearer secret", "secret")


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", "Basic "])
def test_an_empty_credential_lets_nobody_in(shown):
    assert not shows_token(shown, "")
