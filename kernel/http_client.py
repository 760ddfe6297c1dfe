"""A client of HTTP/1.1 (RFC 9112) for the question that every recipient costs.

httptools reads the answers. What a full client does beside that for each request (cookies,
redirects, encodings, tracing) cost more than asking and answering: see ADR 15.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import httptools
from aiohappyeyeballs import AddrInfoType, start_connection

CONNECTIONS = 100
"""So many requests are under way at a time; others wait."""
KEEP = 15.0
"""Seconds for which a connection is kept that nobody uses: less than any server of ours waits."""
KNOWN = 10.0
"""Seconds for which addresses are known, unless one of them cannot be reached."""
HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 §5)."""


class BrokenAnswerError(ConnectionError):
    """What came is no answer."""


class HttpClient:
    """Asks the server at ``url``, and sends ``fields`` with every request."""

    def __init__(self, url: str, fields: Mapping[str, str], *, timeout: float) -> None:
        """Raise `ValueError` if ``url`` names no server, or a field has no place in a header."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not http(s)://host[:port]")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname.encode("idna").decode()
        self._port = parts.port or (80 if self._tls is None else 443)
        self._folder = parts.path.rstrip("/")
        self._fields = _header({"Host": parts.netloc.rpartition("@")[2], **fields})
        self._timeout = timeout
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._looking = asyncio.Lock()
        self._addresses: deque[AddrInfoType] = deque()
        self._known_until = 0.0

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return the status and the content of the answer.

        Raises `OSError` if there is none, and `TimeoutError` if it takes longer than ``timeout``.
        Nothing is asked twice: whoever got no answer cannot know what became of the question.
        """
        head = f"{method} {self._folder}{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        octets = b"".join((head.encode("ascii"), self._fields, body))
        async with asyncio.timeout(self._timeout), self._free:
            if self._is_closed:
                raise ConnectionAbortedError("the client is closed")
            connection = self._take_idle() or await self._connect()
            try:
                answer = await connection.ask(octets)
            finally:
                self._put_back(connection)
        return answer

    def close(self) -> None:
        """Close what is idle, and what is asked once it has answered; ask nothing more."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> "_Connection":
        """Connect to the next of the server's addresses, or to one that answers sooner."""
        addresses = await self._look_up()
        try:
            wire = await start_connection(addresses, happy_eyeballs_delay=HEAD_START)
        except BaseException:
            self._known_until = 0.0  # it may have moved
            raise
        name = self._host if self._tls is not None else None
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, sock=wire, ssl=self._tls, server_hostname=name
        )
        return connection

    async def _look_up(self) -> list[AddrInfoType]:
        """Return the server's addresses, each time with another one first."""
        loop = asyncio.get_running_loop()
        async with self._looking:  # who comes meanwhile shares what is found
            if loop.time() >= self._known_until:
                kind = socket.SOCK_STREAM
                found = await loop.getaddrinfo(self._host, self._port, type=kind)
                self._addresses = deque(found)
                self._known_until = loop.time() + KNOWN
            self._addresses.rotate(-1)
            return list(self._addresses)

    def _take_idle(self) -> "_Connection | None":
        """Return the connection that was used last, unless it has become too old."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and now - connection.used_at < KEEP:
                return connection
            connection.close()
        return None

    def _put_back(self, connection: "_Connection") -> None:
        if connection.is_usable and not self._is_closed:
            self._idle.append(connection)
        else:
            connection.close()


class _Connection(asyncio.Protocol):
    """A connection that one request at a time is made over. httptools calls its `on_…`."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._content: list[bytes] = []
        self._is_open = True
        self.used_at = self._loop.time()

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked: it is open, has sent everything and owes nobody an answer."""
        return (
            self._is_open
            and self._answer is None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    async def ask(self, octets: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the content of its answer."""
        self._answer = self._loop.create_future()
        if not self._is_open:
            raise ConnectionResetError("the connection is lost")
        self._transport.write(octets)
        return await self._answer

    def close(self) -> None:
        """Drop the connection."""
        self._is_open = False
        self._transport.abort()

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read what came; what nobody has asked for ends the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenAnswerError(repr(error)))
        if not self._is_open:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits gets no answer."""
        self._fail(error or ConnectionResetError("the server has closed the connection"))

    def _fail(self, error: Exception) -> None:
        self._is_open = False
        self._content.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    # What httptools tells us.

    def on_message_begin(self) -> None:
        """Trust nobody who answers without having been asked."""
        self._is_open = self._is_open and self._answer is not None

    def on_body(self, octets: bytes) -> None:
        """Gather the content."""
        self._content.append(octets)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it is only on its way (1xx, RFC 9110 §15.2)."""
        status, answer = self._parser.get_status_code(), self._answer
        content = b"".join(self._content)
        self._content.clear()
        if status < 200:  # noqa: PLR2004 - see above
            return
        self._answer, self.used_at = None, self._loop.time()
        self._is_open = self._is_open and self._parser.should_keep_alive()
        if answer is not None:
            with suppress(asyncio.InvalidStateError):  # nobody waits for it any more
                answer.set_result((status, content))


def _header(fields: Mapping[str, str]) -> bytes:
    """Return the end of a request's head (RFC 9112 §5)."""
    lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
    if any(line.count("\r") + line.count("\n") > len("\r\n") for line in lines):
        raise ValueError("a header field has a line end in it")
    return "".join([*lines, "\r\n"]).encode("latin-1")
