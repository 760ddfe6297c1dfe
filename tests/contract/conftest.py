"""Every adapter of the bus in turn; auth, served over every database in turn."""

from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support.auth import MovingClock, served_auth
from tests.support.buses import Proxy, RabbitBuses, SqliteBuses, working


@pytest.fixture(params=["sqlite", "rabbitmq"])
def buses(request):
    """A place for connections of one adapter; nobody else's events are there."""
    return request.getfixturevalue(f"{request.param}_buses")


@pytest.fixture
def sqlite_buses(tmp_path):
    return SqliteBuses(tmp_path)


@pytest.fixture
async def rabbitmq_buses(amqp_url):
    proxy = Proxy(urlsplit(amqp_url).port)
    await proxy.mend()
    buses = RabbitBuses(amqp_url, f"test-{uuid4().hex}", proxy)
    yield buses
    await proxy.cut()
    await buses.close()


@pytest.fixture
async def bus(buses):
    """One connection, ready for work."""
    async with buses.open() as bus:
        await working(bus)
        yield bus


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database of every kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    return request.getfixturevalue("database_url")


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
async def auth(url, clock):
    async with served_auth(url, clock=clock) as auth:
        yield auth
