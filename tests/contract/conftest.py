"""Every bus adapter in turn."""

from urllib.parse import urlsplit
from uuid import uuid4

import pytest

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
