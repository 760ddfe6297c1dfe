"""What every test may ask for."""

import os
from contextlib import nullcontext
from uuid import uuid4

import pytest

from tests.support.places import fresh_urls
from tests.support.ports import free_port


@pytest.fixture
def own_port() -> int:
    """A port that no outgoing connection of anybody can be given meanwhile."""
    return free_port()


@pytest.fixture(scope="session")
def amqp_url() -> str:
    """The broker that `make test` started. Its absence is a failure, never a skip."""
    return _from_environment("TEST_AMQP_URL")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The database server that `make test` started."""
    return _from_environment("TEST_DATABASE_URL")


@pytest.fixture
async def database_url(postgres_url):
    """A fresh, empty PostgreSQL database."""
    import asyncpg

    server = postgres_url.replace("+asyncpg", "")
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        yield postgres_url.rpartition("/")[0] + f"/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def stack_urls(request):
    """Return a context manager: the bus and database URLs of a stack of some kind, or None."""

    def stack_urls(kind: str):
        if kind == "embedded":
            return nullcontext()
        places = [request.getfixturevalue(name) for name in ("amqp_url", "postgres_url")]
        return fresh_urls(*places)

    return stack_urls


def _from_environment(name: str) -> str:
    url = os.environ.get(name)  # noqa: TID251 - set by tests/run.py
    if url is None:
        pytest.fail(f"{name} is not set: run the tests with `make test`")
    return url
