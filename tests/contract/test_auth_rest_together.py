"""Several processes of auth: what one is told, the others heed within a second."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from kernel.model.events import DirectoryChanged
from kernel.model.questions import (
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    RelayAnswer,
    RelayQuestion,
)
from services.auth.directory import MAX_AGE
from services.auth.main import heed
from tests.support.auth import served_auth
from tests.support.buses import background, eventually
from tests.support.mail import BOB, EVE

A_SECOND = 1.0
QUESTION = RelayQuestion("mx", "203.0.113.9", "client.test", EVE, BOB)
ANN = {"address": "ann@ours.test", "password": "a secret"}


@pytest.fixture(params=["sqlite", "rabbitmq and postgresql"])
def place(request, tmp_path):
    """A database and a bus."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
        return url, request.getfixturevalue("sqlite_buses")
    return request.getfixturevalue("database_url"), request.getfixturevalue("rabbitmq_buses")


@pytest.fixture
async def pair(place):
    """Two processes on one database and one bus; both hear what is broadcast."""
    async with process(*place) as here, process(*place) as there:
        await hearing(here, there)
        yield here, there


@asynccontextmanager
async def process(url, buses):
    async with (
        buses.open() as bus,
        served_auth(url, bus=bus) as auth,
        background(heed(auth.platform, auth.desk)),
    ):
        yield auth


async def hearing(here, there):
    """Wait until what one says is heard by the other."""
    directory = there.desk.directory
    async with asyncio.timeout(20):
        kept = await directory.policies()
        while await directory.policies() is kept:
            await here.platform.bus.broadcast(DirectoryChanged("networks", "x"))
            await asyncio.sleep(0.02)


async def heeded(look, wanted):
    """Wait until ``look`` sees what is ``wanted``, for a second at most."""

    async def is_so():
        return await look() == wanted

    async with asyncio.timeout(A_SECOND):
        await eventually(is_so)


async def rule(auth):
    (answer,) = await auth.peer.ask("/internal/relay", [QUESTION], list[RelayAnswer])
    return answer.rule


async def verdict(auth, password="a secret"):
    question = LoginQuestion("smtp", "submission", "192.0.2.1", "PLAIN", "ann@ours.test", password)
    return (await auth.peer.ask("/internal/login", question, LoginAnswer)).verdict


def test_caches_live_longer_than_a_change_takes():
    assert MAX_AGE > A_SECOND


async def test_what_is_changed_here_is_decided_there_within_a_second(pair):
    here, there = pair
    assert await rule(there) == "relay-denied"
    await here.made("/v1/networks", {"cidr": "203.0.113.0/24"})
    await heeded(lambda: rule(there), "lan")

    await here.changed("/v1/listeners/mx", {"require_auth": "to-relay"})
    await heeded(lambda: rule(there), "auth-required-to-relay")

    await here.changed("/v1/listeners/mx", {"always_relay_recipients": [str(BOB)]})
    await heeded(lambda: rule(there), "always-relay-recipient")


async def test_logins_are_granted_and_refused_there_within_a_second(pair):
    here, there = pair
    assert await verdict(there) is LoginVerdict.REFUSED
    await here.made("/v1/users", ANN)
    await heeded(lambda: verdict(there), LoginVerdict.GRANTED)

    await here.changed("/v1/users/ann@ours.test", {"password": "another"})
    await heeded(lambda: verdict(there, "another"), LoginVerdict.GRANTED)

    path = "/v1/users/ann@ours.test/app-passwords"
    secret = (await here.made(path, {"name": "phone", "purposes": ["send"]}))["secret"]
    await heeded(lambda: verdict(there, secret), LoginVerdict.GRANTED)
    assert (await here.call("DELETE", f"{path}/phone")).status == 204
    await heeded(lambda: verdict(there, secret), LoginVerdict.REFUSED)


async def test_a_key_revoked_here_opens_nothing_there_within_a_second(pair):
    here, there = pair
    made = await here.made("/v1/api-keys", {"name": "backup", "scopes": ["users:read"]})
    bearer = f"Bearer {made['key']}"

    async def status():
        return (await there.call("GET", "/v1/users", login=None, Authorization=bearer)).status

    assert await status() == 200
    assert (await here.call("DELETE", f"/v1/api-keys/{made['id']}")).status == 204
    await heeded(status, 401)
