"""One connection to a remote server: carries octets between a socket and an `SmtpClient`."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast

from kernel.model.reply import Reply
from services.delivery.core.mailing import Mailing, Stuffer
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase, SmtpClient

TIMED_OUT = Reply(451, "4.4.2", "The server did not answer in time")

_PAUSES = frozenset({Phase.IDLE, Phase.HANDSHAKE, Phase.CONTENT, Phase.CLOSED})
_HANDSHAKE_ERRORS = (OSError, EOFError, ValueError)  # ValueError: a name that SNI cannot hold


class CannotConnectError(Exception):
    """Nobody takes our connection there."""


class TlsBrokenError(Exception):
    """The server offered STARTTLS, and then the handshake failed."""


class Connection(asyncio.Protocol):
    """A connection that `open` has made ready for mailings."""

    def __init__(
        self,
        client: SmtpClient,
        host: Host,
        timeouts: Mapping[Phase, float],
        when_over: Callable[["Connection"], None],
    ) -> None:
        self.client = client
        self.host = host
        self._timeouts = timeouts
        self._when_over = when_over
        self._shortest = min(timeouts.values())
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._pause: asyncio.Future[None] | None = None
        self._phase = Phase.GREETING
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    async def open(self, tls: ssl.SSLContext, connect_timeout: float) -> None:
        """Dial, greet and secure. A refusal is left in ``client.failure``."""
        try:
            async with asyncio.timeout(connect_timeout):
                await self._loop.create_connection(lambda: self, self.host.address, self.host.port)
        except (OSError, UnicodeError) as error:
            raise CannotConnectError(str(error)) from error
        try:
            await self._until_pause()
            if self.client.phase is Phase.HANDSHAKE:
                await self._secure(tls)
                self._send(self.client.secured())
                await self._until_pause()
        except BaseException:
            self.abort()
            raise

    async def send(self, mailing: Mailing, chunks: AsyncIterator[bytes] | None) -> None:
        """Carry one mailing; ``client.replies`` tells how it went.

        Whatever cuts this short cuts the connection, and never with a message
        that looks complete.
        """
        try:
            self._send(self.client.begin(mailing))
            await self._until_pause()
            if chunks is not None and self.client.phase is Phase.CONTENT:
                await self._stream(chunks)
                await self._until_pause()
        except BaseException:
            self.abort()
            raise

    def close(self) -> None:
        """Say goodbye and hang up."""
        farewell = self.client.quit()
        if farewell and not self._transport.is_closing():
            self._transport.write(farewell)
        self._over()
        self._transport.close()

    def abort(self) -> None:
        """Hang up without a word."""
        self.client.lose()
        self._over()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._keep_time()
        self._check_time()

    def data_received(self, data: bytes) -> None:
        """Hear the server."""
        self._send(self.client.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Go without the server."""
        del exc
        self.client.lose()
        self._over()

    def pause_writing(self) -> None:
        """Hold back: the server reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def _send(self, octets: bytes) -> None:
        if octets:
            self._transport.write(octets)
        phase = self.client.phase
        if phase is not self._phase:
            self._phase = phase
            self._keep_time()
            if phase is Phase.CLOSED:
                self.abort()
            elif phase in _PAUSES:
                self._wake()

    async def _until_pause(self) -> None:
        if self.client.phase not in _PAUSES:
            self._pause = self._loop.create_future()
            await self._pause

    def _wake(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None and not pause.done():
            pause.set_result(None)

    async def _stream(self, chunks: AsyncIterator[bytes]) -> None:
        stuffer = Stuffer()
        async for chunk in chunks:
            await self._writable.wait()
            if self.client.phase is not Phase.CONTENT:
                return
            self._keep_time()
            self._transport.write(stuffer.feed(chunk))
        await self._writable.wait()
        if self.client.phase is Phase.CONTENT:
            self._transport.write(stuffer.end())
            self.client.content_sent()
            self._send(b"")

    async def _secure(self, tls: ssl.SSLContext) -> None:
        timeout = self._timeouts[Phase.HANDSHAKE]
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                tls,
                server_hostname=None if self.host.name.startswith("[") else self.host.name,
                ssl_handshake_timeout=timeout,
            )
        except _HANDSHAKE_ERRORS as error:
            raise TlsBrokenError(str(error)) from error
        if transport is None:
            raise TlsBrokenError("the connection was lost")
        self._transport = transport

    def _over(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._writable.set()
        self._wake()
        self._when_over(self)

    def _keep_time(self) -> None:
        self._deadline = self._loop.time() + self._timeouts.get(self._phase, 0.0)

    def _check_time(self) -> None:
        """Look at the clock now and then: cheaper than a timer for each phase."""
        late = self._loop.time() >= self._deadline
        if not late:
            self._watch = self._loop.call_later(self._shortest, self._check_time)
        elif self._phase is Phase.IDLE:
            self.close()
        else:
            self.client.lose(TIMED_OUT)
            self.abort()
