"""Link: one connection to the broker, kept up for ever."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from yarl import URL

S = TypeVar("S")

BROKER_ERRORS = (AMQPError, OSError, RuntimeError, TimeoutError)
"""What the library raises when the broker is gone, refuses, or does not answer."""

_CONNECT_TIMEOUT = 10.0
_CHECK_EVERY = 0.5
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_HEARTBEAT = "10"  # seconds; a peer that is silent for two of them is gone

_log = structlog.get_logger("bus")


class Link(Generic[S]):
    """Connects, sets up, and starts over whenever anything on the way breaks.

    ``session`` is what setting up has made, as long as that works; else ``None``.
    """

    def __init__(
        self, url: URL, name: str, set_up: Callable[[AbstractConnection], Awaitable[S]]
    ) -> None:
        self._url = url.update_query(heartbeat=url.query.get("heartbeat", _HEARTBEAT))
        self._name = name
        self._set_up = set_up
        self._broken: asyncio.Future[str] | None = None
        self._up = asyncio.Event()
        self.session: S | None = None
        self.trouble = "not connected yet"

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        delay = _FIRST_DELAY
        while True:
            began = asyncio.get_running_loop().time()
            try:
                why = await self._session()
            except Exception as error:  # noqa: BLE001 - no library error may end the connecting
                why = f"{type(error).__name__}: {error}"
            self.trouble = f"no {self._name} connection to {self._url.host}: {why}"
            _log.warning("bus connection lost", connection=self._name, why=why)
            lasted = asyncio.get_running_loop().time() - began
            delay = _FIRST_DELAY if lasted > _LONGEST_DELAY else min(delay * 2, _LONGEST_DELAY)
            await asyncio.sleep(delay)

    async def wait_until_up(self) -> S:
        """Return the session once there is one."""
        while self.session is None:
            await self._up.wait()
        return self.session

    def watch(
        self, channel: AbstractChannel, *, unless: Callable[[], bool] = lambda: False
    ) -> None:
        """Start over when ``channel`` closes, unless we closed it."""

        def closed(_: AbstractChannel | None, error: BaseException | None) -> None:
            if not unless():
                self.start_over(f"channel closed: {error}")

        channel.close_callbacks.add(closed)

    def start_over(self, why: str) -> None:
        """Drop the connection and make a new one."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(why)

    async def _session(self) -> str:
        """Connect and stay; return why it is over."""
        self._broken = asyncio.get_running_loop().create_future()
        connection = await aio_pika.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT,
            client_properties={"connection_name": f"postroom {self._name}"},
        )
        connection.close_callbacks.add(lambda _, error: self.start_over(f"closed: {error}"))
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                self.session = await self._set_up(connection)
            self.trouble = ""
            self._up.set()
            _log.info("bus connected", connection=self._name)
            return await self._stay(connection, self._broken)
        finally:
            self.session = None
            self._up.clear()
            await _close(connection)

    async def _stay(self, connection: AbstractConnection, broken: asyncio.Future[str]) -> str:
        """Wait for the end, and notice alarms meanwhile."""
        while not broken.done():
            await asyncio.wait([broken], timeout=_CHECK_EVERY)
            blocked = not broken.done() and await _is_blocked(connection)
            self.trouble = "the broker takes nothing: memory or disk alarm" if blocked else ""
        return broken.result()


async def _is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has sent ``connection.blocked``, and no ``unblocked`` since."""
    if connection.transport is None:
        return False
    try:
        async with asyncio.timeout(_CHECK_EVERY):
            await connection.transport.ready()
    except TimeoutError:
        return True
    return False


async def _close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*BROKER_ERRORS):
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await connection.close()
