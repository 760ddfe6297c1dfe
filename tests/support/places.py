"""Places of a stack's own on the brokers that `make test` started: a prefix and a database."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from tests.support.buses import Proxy


@contextmanager
def fresh_urls(amqp_url: str, postgres_url: str) -> Iterator[dict[str, str]]:
    """Yield the ``bus`` and ``database`` URLs of a place where nobody else is."""
    name = f"stack_{uuid4().hex}"
    _execute(postgres_url, f"CREATE DATABASE {name}")
    try:
        yield {
            "bus": f"{amqp_url}?prefix={name}",
            "database": f"{postgres_url.rpartition('/')[0]}/{name}",
        }
    finally:
        _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(postgres_url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute())


class Detour:
    """A way to the broker that can be cut, run in a thread of its own."""

    def __init__(self, amqp_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        port = urlsplit(amqp_url).port
        self._proxy = Proxy(port)
        self._original = f":{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._proxy.mend())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._proxy.cut())
        self._wait(_cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def by(self, url: str) -> str:
        """Return the URL of the same place by this way."""
        return url.replace(self._original, f":{self._proxy.port}", 1)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody reaches the broker meanwhile."""
        self._wait(self._proxy.cut())
        yield
        self._wait(self._proxy.mend())

    def _wait(self, coroutine) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


async def _cancel_rest() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
