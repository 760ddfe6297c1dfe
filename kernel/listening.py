"""Listening: takes connections, also from balancers that say who their clients are."""

import asyncio
import socket
import ssl
from asyncio import selector_events, sslproto
from collections.abc import Callable, Collection
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Protocol

import structlog
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.proxied import BadHeaderError, Balancers, octets_wanted, read_header
from kernel.settings import PostroomSettings, host_and_port, split_words

Peer = tuple[str, int]
"""An IP address and a port."""
Factory = Callable[[Peer | None], asyncio.Protocol]
"""Makes what talks to one client; is told who that is, where the socket does not tell it."""


INTRODUCTION = 10.0
"""Seconds that a balancer may take to say who its client is."""
HANDSHAKE = 30.0
"""Seconds that a client may take for a TLS handshake."""
SHUTDOWN = 5.0
"""Seconds that a client may take to say goodbye to TLS."""
TLS_BUFFER = 32_768
"""Octets that asyncio keeps to read from each TLS connection. Its own 256 KiB would be nearly all
that an idle one costs; a record has 16 KiB (RFC 8446 §5.1)."""
_PAUSE = 0.1  # seconds, when there are no more files to be had

READ = 65_536
"""Octets that asyncio reads from a connection at a time. Its own 256 KiB would be all that a
message on its way in may cost."""

sslproto.SSLProtocol.max_size = TLS_BUFFER
selector_events._SelectorSocketTransport.max_size = READ  # type: ignore[attr-defined]  # noqa: SLF001 - the only place to say it

_log = structlog.get_logger("listening")


_WIDEST = {4: 8, 6: 7}
"""The shortest prefix by IP version: 10.0.0.0/8 and fc00::/7 are the widest private networks."""


def _network(text: str) -> str:
    network = ip_network(text)
    if network.prefixlen < _WIDEST[network.version]:
        raise ValueError(f"strangers are in {text}, and could say that they come from the LAN")
    return str(network)


Fronts = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(split_words)
]
"""Networks of those who may say for whom they speak, parted by commas."""


class ListeningSettings(PostroomSettings):
    """Whom we believe: the same for every service that users connect to."""

    model_config = SettingsConfigDict(populate_by_name=True)

    balancers: Fronts = Field(
        default=(),
        validation_alias="POSTROOM_BALANCERS",
        description="Networks of balancers, parted by commas, which begin every connection with a "
        "header of the PROXY protocol (1 or 2), also before TLS. What they say of their clients "
        "is believed, so name nobody else.",
    )


class Listening(Protocol):
    """What takes connections until it is closed."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it can be reached."""

    def close(self) -> None:
        """Take no more; those that there are go on."""


async def listen(
    factory: Factory,
    where: str,
    *,
    balancers: Collection[str] = (),
    tls: ssl.SSLContext | None = None,
    backlog: int = 512,
    reuse_port: bool = False,
) -> Listening:
    """Take connections at ``where`` (HOST:PORT), with ``tls`` from their first octet.

    Whoever stands in ``balancers`` has to begin with a header of the PROXY protocol, even
    before TLS; from anybody else it is not heeded.
    """
    host, port = host_and_port(where)
    if balancers:
        listener = _socket(host, port, backlog, reuse_port=reuse_port)
        return _Introduced(listener, factory, Balancers(balancers), tls)
    server = await asyncio.get_running_loop().create_server(
        lambda: factory(None),
        host or None,
        port,
        ssl=tls,
        ssl_handshake_timeout=HANDSHAKE if tls else None,
        ssl_shutdown_timeout=SHUTDOWN if tls else None,
        backlog=backlog,
        reuse_port=reuse_port or None,
    )
    return _Plain(server)


class _Plain:
    """Everybody is who the socket says."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @property
    def address(self) -> Peer:
        host, port, *_ = self._server.sockets[0].getsockname()
        return host, port

    def close(self) -> None:
        self._server.close()


class _Introduced:
    """Lets balancers say who comes, before anybody talks to the client.

    Not an octet behind the header is read here: it may be part of a TLS handshake.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Factory,
        balancers: Balancers,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._factory = factory
        self._balancers = balancers
        self._tls = tls
        self._guests: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    @property
    def address(self) -> Peer:
        host, port, *_ = self._listener.getsockname()
        return host, port

    def close(self) -> None:
        self._accepting.cancel()
        for guest in self._guests:
            guest.cancel()

    async def _accept(self) -> None:
        with self._listener:
            await self._accept_for_ever()

    async def _accept_for_ever(self) -> None:
        while True:
            try:
                connection, peer = await self._loop.sock_accept(self._listener)
            except OSError as error:
                _log.error("cannot accept", why=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            guest = asyncio.create_task(self._welcome(connection, peer[0]))
            self._guests.add(guest)
            guest.add_done_callback(self._guests.discard)

    async def _welcome(self, connection: socket.socket, host: str) -> None:
        try:
            async with asyncio.timeout(INTRODUCTION):
                client = await self._client_of(connection, plain_address(host))
            await self._loop.connect_accepted_socket(
                lambda: self._factory(client),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE if self._tls else None,
                ssl_shutdown_timeout=SHUTDOWN if self._tls else None,
            )
        except (BadHeaderError, OSError) as error:  # a timeout is an OSError
            _log.info("not introduced", peer=host, why=repr(error))
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _client_of(self, connection: socket.socket, host: str) -> Peer | None:
        """Return who comes, if somebody else than the socket has to tell. Raises `OSError`."""
        if host not in self._balancers:
            return None
        octets = b""
        while (header := read_header(octets)) is None:
            more = await self._loop.sock_recv(connection, octets_wanted(octets))
            if not more:
                raise ConnectionResetError("gone before the header was complete")
            octets += more
        return (header.client, header.port) if header.client else None


def plain_address(host: str) -> str:
    """Return an IPv4 address that came in over IPv6 as what it is."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _socket(host: str, port: int, backlog: int, *, reuse_port: bool) -> socket.socket:
    """Return a listening socket; an empty ``host`` is every address of both versions of IP."""
    both = not host and socket.has_dualstack_ipv6()
    listener = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if both or ":" in host else socket.AF_INET,
        backlog=backlog,
        reuse_port=reuse_port,
        dualstack_ipv6=both,
    )
    listener.setblocking(False)  # noqa: FBT003 - the signature is the standard library's
    return listener
