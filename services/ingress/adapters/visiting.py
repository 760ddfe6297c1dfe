"""Visiting: says probes to a listener over TCP, as any client would, and never DATA."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache

from kernel.model.reply import Reply
from kernel.settings import host_and_port
from services.ingress.core.probes import HELO, LOOPBACK, Probe
from services.ingress.core.selftest import reply_of

PATIENCE = 20.0
"""Seconds for a visit."""
A_FEW = 8
"""Probes in one visit: servers lose their patience with who is always refused."""

_EVERYWHERE_V4 = "0.0.0.0"  # noqa: S104 - compared, not bound
_EVERYWHERE = ("", "::", _EVERYWHERE_V4)
_OTHERS = ("192.0.2.1", "2001:db8::1")  # RFC 5737, RFC 3849: nothing is sent there
_ANOTHER_LOOPBACK = "127.0.0.2"
_CUT_OFF = Reply(421, "4.4.2", "The connection was lost")

Caller = tuple[str, int]
"""The address and the port from which a visitor comes."""


class NotReachedError(Exception):
    """Nobody answers there."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a listener, and from which address of ours; empty: the system's choice."""

    host: str
    port: int
    source: str = ""
    implicit_tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a first visit tells: from which address we come, and the server's name."""

    source: str
    name: str


def ways_to(listen: str, source: str = "", *, implicit_tls: bool) -> tuple[Way, ...]:
    """Return the ways to what listens on ``listen``, those that strangers could take first.

    Who listens everywhere is called at our address in the network, and from it: coming
    from loopback, which is on most LANs, we would be no strangers.
    """
    host, port = host_and_port(listen)
    own = [each for each in own_addresses() if host != _EVERYWHERE_V4 or ":" not in each]
    if source:
        ends = [(LOOPBACK if host in _EVERYWHERE else host, source)]
    elif host in _EVERYWHERE:
        ends = [*((address, address) for address in own), *_over_loopback(LOOPBACK)]
    elif host in (LOOPBACK, "localhost"):
        ends = _over_loopback(host)
    else:
        ends = [(host, host if host in own else "")]
    return tuple(Way(host, port, source, implicit_tls) for host, source in ends)


def own_addresses() -> tuple[str, ...]:
    """Return the addresses that others see when we call them."""
    return tuple(filter(None, map(_address_towards, _OTHERS)))


async def meet(way: Way) -> Meeting:
    """Visit a listener. Raises `NotReachedError`; who is not let in has met nobody by name."""
    async with _visit(way, set()) as visit:
        return Meeting(visit.source, visit.name)


async def replies_to(way: Way, probes: Sequence[Probe], callers: set[Caller]) -> list[Reply]:
    """Return the last word on each probe. Raises `NotReachedError`.

    While we are there, ``callers`` holds from where we call.
    """
    replies: list[Reply] = []
    for at in range(0, len(probes), A_FEW):
        async with _visit(way, callers) as visit:
            replies += [await visit.reply_to(probe) for probe in probes[at : at + A_FEW]]
    return replies


class _Visit:
    """A conversation. Who is not let in gets the greeting for an answer, whatever they ask."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._greeting = _CUT_OFF
        self.source = str(writer.get_extra_info("sockname")[0])

    @property
    def name(self) -> str:
        """The server's name (RFC 5321 §4.2), if it told us."""
        words = self._greeting.text.split() if self._greeting.is_positive else ()
        return words[0] if words else ""

    async def begin(self) -> None:
        """Hear the greeting, and go on to TLS where it is offered."""
        self._greeting = reply_of(await self._hear())
        if self._greeting.is_positive and "STARTTLS" in (await self._ask(f"EHLO {HELO}")).upper():
            await self._ask("STARTTLS")
            await self._writer.start_tls(_trusting(), server_hostname="")
            await self._ask(f"EHLO {HELO}")

    async def reply_to(self, probe: Probe) -> Reply:
        """Say one envelope, and take it back."""
        reply = self._greeting
        if not reply.is_positive:
            return reply
        try:
            for command in probe.commands:
                reply = reply_of(await self._ask(command))
                if not reply.is_positive:
                    break
            await self._ask("RSET")
        except (EOFError, OSError):
            return _CUT_OFF
        return reply

    async def end(self) -> None:
        """Say goodbye."""
        with suppress(EOFError, OSError):
            if self._greeting.is_positive:
                await self._ask("QUIT")
            self._writer.close()
            await self._writer.wait_closed()

    async def _ask(self, command: str) -> str:
        self._writer.write(f"{command}\r\n".encode())
        await self._writer.drain()
        return await self._hear()

    async def _hear(self) -> str:
        lines = [await self._reader.readuntil(b"\r\n")]
        while lines[-1][3:4] == b"-":
            lines.append(await self._reader.readuntil(b"\r\n"))
        if not lines[-1][:3].isdigit():
            raise NotReachedError("who answers there does not speak SMTP")
        return b"".join(lines).decode("utf-8", "replace")


@asynccontextmanager
async def _visit(way: Way, callers: set[Caller]) -> AsyncIterator[_Visit]:
    try:
        async with asyncio.timeout(PATIENCE), _connected(way, callers) as visit:
            await visit.begin()
            yield visit
            await visit.end()
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise NotReachedError(f"no answer from {way} ({error})") from error


def _abort(writer: asyncio.StreamWriter) -> None:
    """End a connection, whatever is left of it.

    Python 3.11.2, which is Debian 12's, fails here if TLS has been closed twice.
    """
    with suppress(AttributeError):
        writer.transport.abort()


@asynccontextmanager
async def _connected(way: Way, callers: set[Caller]) -> AsyncIterator[_Visit]:
    """Connect; it is known from where before the first packet is sent."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    with ExitStack() as stack:
        calling = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        calling.setblocking(False)  # noqa: FBT003 - the name is socket's
        if way.source:
            calling.bind((way.source, 0))
            caller = calling.getsockname()[:2]
            callers.add(caller)
            stack.callback(callers.discard, caller)
        await loop.sock_connect(calling, address)
        tls = _trusting() if way.implicit_tls else None
        named = "" if tls else None
        reader, writer = await asyncio.open_connection(sock=calling, ssl=tls, server_hostname=named)
        stack.callback(_abort, writer)
        yield _Visit(reader, writer)


def _over_loopback(host: str) -> list[tuple[str, str]]:
    other = [(host, _ANOTHER_LOOPBACK)] if _is_ours(_ANOTHER_LOOPBACK) else []
    return [*other, (host, "")]


def _is_ours(address: str) -> bool:
    """Whether we may call from ``address``: all of 127.0.0.0/8 is ours on Linux, not on others."""
    with socket.socket() as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True


def _address_towards(other: str) -> str:
    """Return our address on the way to ``other``; to connect by UDP sends nothing."""
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((other, 25))
        except OSError:
            return ""
        return str(trial.getsockname()[0])


@cache
def _trusting() -> ssl.SSLContext:
    """Who we are talking to does not matter: nothing of ours is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
