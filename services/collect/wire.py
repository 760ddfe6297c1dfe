"""Wire: one connection as something to read from and to write to, which can take up TLS.

asyncio's own streams keep what came before TLS and hand it out afterwards, whoever sent it;
here it is forgotten.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from kernel.listening import HANDSHAKE, SHUTDOWN, Peer, plain_address

LINGER = 1.0
"""Seconds that a client has for our last words, when it is we who want to go."""
_ENOUGH = 65_536  # octets to have at hand, before we read on


class Wire(asyncio.Protocol):
    """One connection. ``made`` is told once it stands; a balancer may have said whose it is."""

    transport: asyncio.Transport

    def __init__(self, made: "Callable[[Wire], None]", peer: Peer | None = None) -> None:
        self._made = made
        self._peer = peer
        self._octets = bytearray()
        self._is_over = False  # nothing more will come
        self._is_dismissed = False
        self._lost = asyncio.Event()
        self._has_news = asyncio.Event()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self.client = ""
        """The client's IP address."""

    @property
    def is_secured(self) -> bool:
        """Whether there is TLS."""
        return self.transport.get_extra_info("ssl_object") is not None

    async def read(self) -> bytes:
        """Return what came, as soon as there is anything; nothing at the end."""
        while not self._octets and not self._is_over:
            self._has_news.clear()
            await self._has_news.wait()
        octets = bytes(self._octets)
        self._octets.clear()
        self.transport.resume_reading()
        return octets

    async def write(self, octets: bytes) -> None:
        """Send ``octets``; return once there is room for more. Raises `ConnectionError`."""
        self.transport.write(octets)
        await self._is_writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError("the client has gone")

    async def take_up_tls(self, context: ssl.SSLContext) -> None:
        """Go on under TLS. What came until now is forgotten. Raises `OSError`."""
        self.transport.pause_reading()
        self._octets.clear()
        transport = await asyncio.get_running_loop().start_tls(
            self.transport,
            self,
            context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=SHUTDOWN,
        )
        if transport is None or self._lost.is_set():
            raise ConnectionResetError("the client has gone")
        self.transport = transport

    def dismiss(self) -> None:
        """Let `read` say that this is the end."""
        self._is_dismissed = True
        self._octets.clear()
        self.eof_received()

    async def close(self, limit: float) -> None:
        """Close once everything is sent. Raises `TimeoutError` if that takes too long."""
        self.transport.close()
        async with asyncio.timeout(LINGER if self._is_dismissed else limit):
            await self._lost.wait()

    def turn_away(self, words: bytes) -> None:
        """Say ``words`` and close."""
        self.transport.write(words)
        self.transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        peer = self._peer or transport.get_extra_info("peername") or ("::", 0)
        self.client = plain_address(peer[0])
        _keep_alive(transport.get_extra_info("socket"))
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; no more than we can use."""
        if self._is_over:
            return
        self._octets += data
        self._has_news.set()
        if len(self._octets) >= _ENOUGH:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Stay, to answer what the client has said, if TLS does not forbid it."""
        self._is_over = True
        self._has_news.set()
        return not self.is_secured

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Let nobody wait any longer."""
        self._is_over = True
        self._lost.set()
        self._has_news.set()
        self._is_writable.set()

    def pause_writing(self) -> None:
        """Let who writes wait."""
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._is_writable.set()


def _keep_alive(connection: socket.socket) -> None:
    """Notice within minutes that a client is no more, and holds its maildrop for nothing."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
