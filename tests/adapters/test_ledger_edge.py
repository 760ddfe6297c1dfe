"""The ledger's REST API, asked over HTTP; and the whole service over the embedded stores."""

import asyncio
import base64
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from kernel import wire
from kernel.bus import sqlite as sqlite_bus
from kernel.bus.port import Parked
from kernel.clock import system_clock
from kernel.http import Peer
from kernel.model.events import MailDeferred, MailRouted, MailTraced, Stage, Summary, Trace
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.web import serve_web
from migrations.upgrade import upgrade
from services.ledger.adapters.books import SqlBooks
from services.ledger.adapters.database import Database
from services.ledger.adapters.doorkeeper import Doorkeeper
from services.ledger.adapters.reading import Reading
from services.ledger.adapters.waiting import SqlWaitingRoom
from services.ledger.core.record import record
from services.ledger.edge import Desk, application
from services.ledger.main import serve
from services.ledger.settings import Settings
from tests.support.fakes import make_platform
from tests.support.mail import AN_HOUR_LATER, ANN, BOB, BUSY, MAIL_ID, NOON, OK, make_leg

LEG = make_leg(BOB, attempt=2)
ADMIN = aiohttp.encode_basic_auth("admin", "right")
SERVICE = "Bearer service-token"


class Auth:
    """Knows an administrator, a user and a locked user, all with the same password."""

    def __init__(self):
        self.asked = 0

    async def login(self, request):
        self.asked += 1
        question = wire.from_json(await request.read(), LoginQuestion)
        return web.Response(body=wire.to_json(self._judge(question)))

    def _judge(self, question):
        if question.login == "locked":
            return LoginAnswer(LoginVerdict.LOCKED)
        if question.password != "right" or question.service != "api":
            return LoginAnswer(LoginVerdict.REFUSED)
        return LoginAnswer(LoginVerdict.GRANTED, question.login, question.login == "admin")


@asynccontextmanager
async def served(auth):
    app = web.Application()
    app.router.add_post("/internal/login", auth.login)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def port(own_port):
    return own_port


@pytest.fixture
async def auth():
    return Auth()


@pytest.fixture
async def database(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    await upgrade(url)
    database = Database(url)
    yield database
    await database.aclose()


@pytest.fixture
async def nudges():
    return []


@pytest.fixture
def platform():
    return make_platform()


@pytest.fixture
async def ask(auth, database, port, nudges, platform):
    """Ask the API; return status, content type and content."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(auth))
        peer = await stack.enter_async_context(Peer(url, "service-token"))
        desk = Desk(
            platform,
            Reading(database),
            SqlWaitingRoom(database),
            Doorkeeper(peer, asyncio.get_running_loop().time),
            lambda: nudges.append(1),
        )
        listen = f"127.0.0.1:{port}"
        await stack.enter_async_context(serve_web(application(desk), listen))
        session = aiohttp.ClientSession(f"http://{listen}")
        yield asker(await stack.enter_async_context(session))


def asker(session):
    async def ask(path, credential=ADMIN, method="GET", body=None):
        headers = {"Authorization": credential} if credential else {}
        async with session.request(method, path, headers=headers, json=body) as response:
            content = await response.json(content_type=None) if response.status != 204 else None
            return response.status, response.content_type, content

    return ask


async def enter(database):
    books, room = SqlBooks(database), SqlWaitingRoom(database)
    accepted = (Trace(BOB, Stage.ACCEPTED, "listener mx"),)
    deferred = (Trace(BOB, Stage.DEFERRED, "mx.elsewhere.test", BUSY),)
    await books.record(
        record(
            [
                MailTraced(MAIL_ID, NOON, MAIL_ID, accepted, Summary(ANN, 100, "mx 127.0.0.1")),
                MailTraced(MAIL_ID, NOON, make_leg(BOB).id, deferred),
            ]
        )
    )
    await room.put([MailDeferred(LEG, AN_HOUR_LATER, BUSY)], NOON)


async def test_health_answers_everybody(ask):
    assert await ask("/healthz", credential=None) == (200, "application/json", {"alive": True})


@pytest.mark.parametrize("path", ["/v1/mails", "/v1/waiting", "/docs", "/openapi.json", "/none"])
async def test_nothing_else_answers_a_stranger(ask, path):
    status, kind, problem = await ask(path, credential=None)

    assert (status, kind) == (401, "application/problem+json")
    assert problem["title"] == "Unauthorized"


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        (SERVICE, 200),
        (ADMIN, 200),
        (aiohttp.encode_basic_auth("ann", "right"), 403),
        (aiohttp.encode_basic_auth("admin", "wrong"), 401),
        (aiohttp.encode_basic_auth("locked", "right"), 429),
        ("Bearer another-token", 401),
        ("Basic %%%", 401),
        ("Basic ä", 401),
        ("Basic " + base64.b64encode(b"no colon").decode(), 401),
    ],
)
async def test_administrators_and_services_may_look(ask, credential, status):
    assert (await ask("/v1/mails", credential))[0] == status


async def test_a_yes_is_remembered_and_a_no_is_not(ask, auth):
    for _ in range(3):
        await ask("/v1/mails")
    assert auth.asked == 1

    for _ in range(2):
        await ask("/v1/mails", aiohttp.encode_basic_auth("admin", "wrong"))
    assert auth.asked == 3


async def test_a_mail_s_story_has_the_shape_of_the_api(ask, database):
    await enter(database)

    status, _, story = await ask(f"/v1/mails/{MAIL_ID}")

    assert status == 200
    assert story["recipients"] == [
        {
            "recipient": "bob@elsewhere.test",
            "stage": "deferred",
            "detail": "mx.elsewhere.test",
            "reply": "451 4.3.0 Try again later",
            "at": "2026-01-05T12:00:00Z",
        }
    ]
    assert [entry["stage"] for entry in story.pop("timeline")] == ["accepted", "deferred"]
    del story["recipients"]
    assert story == {
        "id": MAIL_ID,
        "sender": "ann@ours.test",
        "size": 100,
        "origin": "mx 127.0.0.1",
        "submitter": "",
        "accepted_at": "2026-01-05T12:00:00Z",
        "ended_at": None,
    }


async def test_an_unknown_mail_is_a_problem(ask):
    status, kind, problem = await ask("/v1/mails/01unknown")

    assert (status, kind) == (404, "application/problem+json")
    assert problem["detail"] == "there is no mail 01unknown"


async def test_lists_come_in_pages(ask, database):
    await enter(database)

    _, _, page = await ask("/v1/mails?limit=1&state=open")
    _, _, rest = await ask(f"/v1/mails?limit=1&after={page['next']}")

    assert [mail["id"] for mail in page["items"]] == [MAIL_ID]
    assert rest == {"items": [], "next": None}


async def test_a_field_at_fault_is_named(ask):
    status, _, problem = await ask("/v1/mails?limit=0")

    assert (status, problem["field"]) == (422, "limit")


async def test_what_waits_is_shown_and_can_be_made_due(ask, database, nudges):
    await enter(database)

    _, _, page = await ask("/v1/waiting?limit=1")
    _, _, rest = await ask(f"/v1/waiting?after={page['next'].replace('+', '%2B')}")
    status, _, _ = await ask(f"/v1/waiting/{LEG.id}/retry", method="POST")

    assert page["items"][0]["id"] == LEG.id
    assert page["items"][0]["due"] == "2026-01-05T13:00:00Z"
    assert rest["items"] == []
    assert (status, nudges) == (204, [1])
    _, _, now = await ask("/v1/waiting")
    assert now["items"][0]["due"] == "2026-01-05T12:00:00Z"


async def test_what_does_not_wait_cannot_be_made_due(ask):
    assert (await ask("/v1/waiting/01unknown/local/1/retry", method="POST"))[0] == 404


async def test_all_that_waits_for_a_domain_can_be_made_due(ask, database, nudges):
    await enter(database)

    async def retried(**body):
        status, _, answer = await ask("/v1/waiting/retry", method="POST", body=body)
        assert status == 200
        return answer["legs"]

    assert await retried(domain="other.test") == 0
    assert (await ask("/v1/waiting?domain=other.test"))[2]["items"] == []
    assert len((await ask("/v1/waiting?domain=Elsewhere.test"))[2]["items"]) == 1
    assert await retried(domain="ELSEWHERE.test", sender="ann@ours.test", mail=MAIL_ID) == 1
    assert await retried(all=True) == 0
    assert nudges == [1, 1, 1]


@pytest.mark.parametrize(
    "body", [{}, {"all": False}, {"domain": None}, {"domain": "a b"}, {"sender": "\0"}, {"x": 1}]
)
async def test_not_everything_is_made_due_by_mistake(ask, database, body):
    await enter(database)

    assert (await ask("/v1/waiting/retry", method="POST", body=body))[0] == 422

    assert (await ask("/v1/waiting"))[2]["items"][0]["due"] == "2026-01-05T13:00:00Z"


async def test_a_strange_cursor_is_a_problem(ask):
    assert (await ask("/v1/waiting?after=nonsense"))[0] == 422


async def test_recipients_are_counted(ask, database):
    await enter(database)

    _, _, balance = await ask("/v1/balance")

    assert balance == {"accepted": 1, "ended": 0, "open": 1, "waiting": 1}


async def test_queues_are_those_of_the_bus(ask):
    assert (await ask("/v1/queues"))[2] == {"items": [], "parked": 0}


async def test_what_is_parked_can_be_seen_and_put_back(ask, platform):
    platform.bus.put_aside = [
        Parked("k1", "MailRouted.remote", "its blob is gone", wire.encode(make_leg(BOB))),
        Parked("k2", "MailAccepted", "unreadable", b"garbage"),
    ]

    _, _, found = await ask("/v1/parked")

    assert found["items"] == [
        {"key": "k1", "queue": "MailRouted.remote", "mail": MAIL_ID, "why": "its blob is gone"},
        {"key": "k2", "queue": "MailAccepted", "mail": "", "why": "unreadable"},
    ]
    assert (await ask("/v1/parked/k1/replay", method="POST"))[0] == 204
    assert (await ask("/v1/parked/k1/replay", method="POST"))[0] == 404
    assert [item["key"] for item in (await ask("/v1/parked"))[2]["items"]] == ["k2"]


@asynccontextmanager
async def serving(platform, settings):
    platform.health.expect("ledger")
    task = asyncio.create_task(serve(platform, settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition):
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - a database have no event
            await asyncio.sleep(0.05)


@asynccontextmanager
async def whole_ledger(tmp_path, port, clock=system_clock):
    """The service over a bus and a database in files."""
    database_url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    bus_url = f"sqlite:///{tmp_path}/bus.db"
    async with sqlite_bus.connect(bus_url, grace=timedelta(seconds=2)) as bus:
        platform = make_platform(bus=bus, clock=clock, settings={"database_url": database_url})
        async with serving(platform, Settings(listen=f"127.0.0.1:{port}")) as task:
            yield platform, database_url, task


async def test_the_ledger_waits_for_its_tables(tmp_path, port):
    async with whole_ledger(tmp_path, port) as (platform, url, task):

        async def says_why():
            return "waiting for the database" in platform.health.troubles().get("ledger", "")

        async def works():
            return not platform.health.troubles()

        await until(says_why)
        await upgrade(url)
        await until(works)

        assert not task.done()


async def test_what_is_due_goes_back_on_the_bus_and_shows_in_its_story(tmp_path, port):
    got = asyncio.Queue()
    later = system_clock() + timedelta(seconds=1)

    async with whole_ledger(tmp_path, port) as (platform, url, _):
        await upgrade(url)
        consuming = asyncio.create_task(platform.bus.consume(MailRouted, got.put, lane="remote"))
        traced = MailTraced(
            MAIL_ID, NOON, MAIL_ID, (Trace(BOB, Stage.ACCEPTED, "", OK),), Summary(ANN, 1, "mx")
        )
        await platform.bus.publish(traced, MailDeferred(LEG, later, BUSY))

        async with asyncio.timeout(20):
            assert await got.get() == LEG
        assert system_clock() >= later

        reading = Reading(Database(url))

        async def on_its_way():
            story = await reading.story(MAIL_ID)
            return story is not None and story.recipients[0].stage == "routed"

        await until(on_its_way)
        await reading._database.aclose()
        consuming.cancel()
        await asyncio.wait([consuming])
