"""One connection to a remote server: carries octets between a socket and an `SmtpClient`."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import cast

import structlog

from kernel.model.reply import Reply, printable
from services.delivery import metrics
from services.delivery.core.mailing import Mailing
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase, SmtpClient

TIMED_OUT = Reply(451, "4.4.2", "The server did not answer in time")

_log = structlog.get_logger("delivery")
_PAUSES = frozenset({Phase.IDLE, Phase.HANDSHAKE, Phase.CONTENT, Phase.CLOSED})
_HANDSHAKE_ERRORS = (OSError, EOFError, ValueError)  # ValueError: a name that SNI cannot hold


class TlsBrokenError(Exception):
    """TLS was begun, and came to nothing: the cause tells why."""


@dataclass(frozen=True, slots=True)
class Securing:
    """Our side of a handshake, and what is looked at after it.

    ``examine`` raises `TlsBrokenError` if the server is not who it must be.
    """

    context: ssl.SSLContext
    examine: Callable[[ssl.SSLObject], None] = lambda _: None


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
        self._phase = client.phase
        self._heard = 0
        self._deadline = 0.0
        self._rests = False
        self._watch: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def tls_version(self) -> str:
        """Such as ``TLSv1.3``; empty in the clear."""
        secured = self._transport.get_extra_info("ssl_object")
        return str(secured.version()) if secured else ""

    async def open(self, line: socket.socket, securing: Securing) -> None:
        """Greet over ``line``, which is connected, and secure it.

        A refusal is left in ``client.failure``. Raises `TlsBrokenError`.
        """
        await self._loop.create_connection(lambda: self, sock=line)
        try:
            await self._until_pause()
            if self.client.phase is Phase.HANDSHAKE:
                await self._secure(securing)
                self._send(self.client.secured())
                await self._until_pause()
        except BaseException:
            self.abort()
            raise
        if self.client.refuses_login:
            self._tell_of_login()

    async def send(
        self, mailing: Mailing, chunks: Callable[[], AsyncIterator[bytes]] | None
    ) -> None:
        """Carry one mailing; ``client.replies`` tells how it went.

        ``chunks`` reads a content that is streamed: once for each transaction. Whatever cuts
        this short cuts the connection, and never with a message that looks complete.
        """
        try:
            self._send(self.client.begin(mailing))
            await self._until_pause()
            while chunks is not None and self.client.phase is Phase.CONTENT:
                await self._stream(chunks())
                await self._until_pause()
            if self.client.is_spent:
                self.close()
        except BaseException:
            self.abort()
            raise

    def rest(self) -> None:
        """Wait for somebody to use it, and not for long."""
        self._rests = True
        self._keep_time()

    def wake(self) -> None:
        """Be there for who makes a message ready, however long that takes."""
        self._rests = False

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
        phase, heard = self.client.phase, self.client.heard
        if phase is self._phase:
            if heard != self._heard:
                self._keep_time()
        else:
            self._phase = phase
            self._keep_time()
            if phase is Phase.CLOSED:
                self.abort()
            elif phase in _PAUSES:
                self._go_on()

    async def _until_pause(self) -> None:
        if self.client.phase not in _PAUSES:
            self._pause = self._loop.create_future()
            await self._pause

    def _go_on(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None and not pause.done():
            pause.set_result(None)

    async def _stream(self, chunks: AsyncIterator[bytes]) -> None:
        """Send the content a piece behind its reader: the last one is told as such."""
        held = b""
        async for chunk in chunks:
            if held and not await self._carry(self.client.piece, held):
                return
            held = chunk
        await self._carry(self.client.last_piece, held)

    async def _carry(self, framed: Callable[[bytes], bytes], octets: bytes) -> bool:
        """Send a piece once there is room for it; False if it is not wanted any more."""
        await self._writable.wait()
        if self.client.phase is not Phase.CONTENT:
            return False
        self._keep_time()
        self._send(framed(octets))
        return True

    async def _secure(self, securing: Securing) -> None:
        timeout = self._timeouts[Phase.HANDSHAKE]
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                securing.context,
                server_hostname=self.host.server_name,
                ssl_handshake_timeout=timeout,
            )
        except _HANDSHAKE_ERRORS as error:
            raise TlsBrokenError(str(error)) from error
        if transport is None:
            raise TlsBrokenError("the connection was lost")
        self._transport = transport
        securing.examine(transport.get_extra_info("ssl_object"))

    def _tell_of_login(self) -> None:
        """Mail waits until somebody has looked at the route, so somebody has to hear of it."""
        metrics.LOGINS_REFUSED.inc()
        why = printable(str(self.client.failure))
        _log.warning("login failed", host=str(self.host), reply=why)

    def _over(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._writable.set()
        self._go_on()
        self._when_over(self)

    def _keep_time(self) -> None:
        self._heard = self.client.heard
        self._deadline = self._loop.time() + self._timeouts.get(self._phase, 0.0)

    def _check_time(self) -> None:
        """Look at the clock now and then: cheaper than a timer for each phase."""
        late = self._loop.time() >= self._deadline
        is_idle = self._phase is Phase.IDLE
        if not late or (is_idle and not self._rests):
            self._watch = self._loop.call_later(self._shortest, self._check_time)
        elif is_idle:
            self.close()
        else:
            self.client.lose(TIMED_OUT)
            self.abort()
