"""Connections, and the balancers through which some of them come."""

import asyncio
import contextlib
import ssl
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from kernel.listening import ListeningSettings, listen
from tests.support.certificates import self_signed

FROM_AFAR = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n"
FROM_AFAR_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(
    [203, 0, 113, 9, 192, 0, 2, 1, 18, 103, 0, 25]
)
FROM_ITSELF = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
HERE = "127.0.0.1"


class Echo(asyncio.Protocol):
    """Says who it takes the client for, and repeats what that says."""

    def __init__(self, peer) -> None:
        self.peer = peer

    def connection_made(self, transport) -> None:
        self.transport = transport
        host, port = self.peer or (transport.get_extra_info("peername")[0], 0)
        transport.write(f"{host} {port}\n".encode())

    def data_received(self, data) -> None:
        self.transport.write(data)


@asynccontextmanager
async def connected(balancers, octets, tls=None):
    listening = await listen(Echo, f"{HERE}:0", balancers=balancers, tls=tls)
    reader, writer = await asyncio.open_connection(*listening.address)
    try:
        writer.write(octets)
        yield reader, writer
    finally:
        writer.close()
        listening.close()


async def first_line(reader):
    async with asyncio.timeout(10):
        return await reader.readline()


@pytest.mark.parametrize("header", [FROM_AFAR, FROM_AFAR_2], ids=["version 1", "version 2"])
async def test_a_balancer_says_who_its_client_is(header):
    async with connected([HERE], header + b"hello\n") as (reader, _):
        assert await first_line(reader) == b"203.0.113.9 4711\n"
        assert await first_line(reader) == b"hello\n"


async def test_a_balancer_may_speak_for_itself():
    async with connected([HERE], FROM_ITSELF) as (reader, _):
        assert await first_line(reader) == b"127.0.0.1 0\n"


@pytest.mark.parametrize("balancers", [[], ["192.0.2.0/24"]], ids=["none", "others"])
async def test_nobody_else_is_believed(balancers):
    async with connected(balancers, FROM_AFAR) as (reader, _):
        assert await first_line(reader) == b"127.0.0.1 0\n"
        assert await first_line(reader) == FROM_AFAR


@pytest.mark.parametrize("octets", [b"EHLO client.test\r\n", b"PROXY TCP4 here there\r\n"])
async def test_a_balancer_without_a_header_is_dropped(octets):
    async with connected([HERE], octets) as (reader, _):
        with contextlib.suppress(ConnectionError):
            assert not await first_line(reader)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3"])
def test_strangers_are_no_balancers(network, monkeypatch):
    monkeypatch.setenv("POSTROOM_BALANCERS", f"192.0.2.7,{network}")

    with pytest.raises(ValidationError, match="strangers"):
        ListeningSettings()


def test_balancers_of_a_private_network_are_believed(monkeypatch):
    monkeypatch.setenv("POSTROOM_BALANCERS", "10.0.0.0/8, fd00::/8, 192.0.2.7")

    assert ListeningSettings().balancers == ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")


async def test_a_slow_balancer_holds_up_nobody():
    async with connected([HERE], b"PROXY ") as (reader, writer):
        async with connected([HERE], FROM_AFAR) as (other, _):
            assert await first_line(other) == b"203.0.113.9 4711\n"
        writer.write(FROM_AFAR[6:])
        assert await first_line(reader) == b"203.0.113.9 4711\n"


async def test_the_header_comes_before_tls(tmp_path):
    context = self_signed(tmp_path)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async with connected([HERE], FROM_AFAR, context) as (reader, writer):
        await writer.start_tls(trusting)

        assert await first_line(reader) == b"203.0.113.9 4711\n"
