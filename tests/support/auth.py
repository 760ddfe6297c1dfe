"""Auth, really served on a free port, over a database of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp

from kernel.http import Peer
from kernel.platform import Platform
from kernel.web import serve_web
from migrations.upgrade import upgrade
from services.auth.bootstrap import furnish
from services.auth.desk import Desk
from services.auth.edge.app import application
from services.auth.main import open_desk
from services.auth.settings import Settings
from tests.support.fakes import make_platform
from tests.support.mail import NOON
from tests.support.ports import free_port


class MovingClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


ADMIN, PASSWORD = "admin", "correct horse"
TOKEN = "service-token"
SECRET_KEY = "a key that nobody guesses"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: dict
    headers: Mapping[str, str]


@dataclass(frozen=True)
class ServedAuth:
    """An auth that answers, and ways to ask it."""

    url: str
    platform: Platform
    desk: Desk
    peer: Peer
    session: aiohttp.ClientSession

    async def call(self, method, path, body=None, *, login=ADMIN, password=PASSWORD, **headers):
        """Call the REST API as an administrator, or as whom you say; ``login=None``: nobody."""
        if login is not None:
            headers["Authorization"] = aiohttp.encode_basic_auth(login, password)
        request = self.session.request(method, self.url + path, json=body, headers=headers)
        async with request as response:
            json = await response.json(content_type=None) if await response.read() else {}
            return Answer(response.status, json, response.headers)

    async def made(self, path, body):
        """POST what must succeed; return the item."""
        answer = await self.call("POST", path, body)
        assert answer.status == 201, answer
        return answer.body

    async def changed(self, path, body):
        """PATCH what must succeed; return the item."""
        answer = await self.call("PATCH", path, body)
        assert answer.status == 200, answer
        return answer.body


@asynccontextmanager
async def served_auth(database_url: str, **platform) -> AsyncIterator[ServedAuth]:
    """Serve auth after its first start in the domain ``ours.test``."""
    settings = {"database_url": database_url, **platform.pop("settings", {})}
    auth = platform.pop("auth", Settings(secret_key=SECRET_KEY))
    platform = make_platform(settings=settings, **platform)
    await upgrade(database_url)
    listen = f"127.0.0.1:{free_port()}"
    async with open_desk(platform, auth) as desk:
        await first_start(desk, platform)
        async with (
            serve_web(application(desk), listen),
            Peer(f"http://{listen}", TOKEN) as peer,
            aiohttp.ClientSession() as session,
        ):
            yield ServedAuth(f"http://{listen}", platform, desk, peer, session)


async def first_start(desk: Desk, platform: Platform) -> None:
    """Make the domain, the administrator and the listeners."""
    settings = Settings(admin_password=PASSWORD)
    await furnish(
        desk.database,
        desk.passwords,
        domain=platform.settings.domain,
        lan=settings.lan,
        password=settings.admin_password,
    )
