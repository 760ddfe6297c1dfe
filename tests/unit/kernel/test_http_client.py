"""Questions over connections that are kept: whatever a server does, no answer goes astray."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from kernel import http_client
from kernel.http_client import BrokenAnswerError, HttpClient
from tests.support.certificates import self_signed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
FIELDS = {"Authorization": "Bearer secret"}


class Server:
    """Answers the requests of each connection by what ``script`` says, and remembers them."""

    def __init__(self, script) -> None:
        self.script = script
        self.connections: list[list[bytes]] = []

    async def serve(self, reader, writer):
        asked: list[bytes] = []
        self.connections.append(asked)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                asked.append(head + await reader.readexactly(size))
                await self.script(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(script, *, tls=None, patience=5.0, path=""):
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    client = HttpClient(f"{scheme}://{host}:{port}{path}", FIELDS, timeout=patience)
    try:
        yield client, server
    finally:
        client.close()
        listening.close()


def saying(*pieces):
    """A script: say this to every request, piece by piece."""

    async def script(_, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)

    return script


async def test_a_request_names_its_server_and_what_it_sends():
    async with running(saying(OK), path="/in/here/") as (client, server):
        assert await client.request("POST", "/ask", b"well?") == (200, b"yes")

    head, _, body = server.connections[0][0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /in/here/ask HTTP/1.1"
    assert b"Authorization: Bearer secret" in lines
    assert any(line.startswith(b"Host: 127.0.0.1:") for line in lines)
    assert body == b"well?"


async def test_one_connection_serves_one_request_after_the_other():
    async with running(saying(OK)) as (client, server):
        for _ in range(3):
            assert await client.request("GET", "/") == (200, b"yes")

    assert [len(asked) for asked in server.connections] == [3]


async def test_requests_at_the_same_time_have_connections_of_their_own():
    async with running(saying(OK)) as (client, server):
        answers = await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(5)))

    assert answers == [(200, b"yes")] * 5
    assert len(server.connections) == 5


async def test_there_are_never_more_connections_than_allowed(monkeypatch):
    monkeypatch.setattr(http_client, "CONNECTIONS", 2)
    async with running(saying(b"", OK)) as (client, server):
        await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(9)))

    assert len(server.connections) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [OK[n : n + 1] for n in range(len(OK))],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"2\r\nye\r\n1\r\ns\r\n0\r\n\r\n",
        ],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK],
    ],
)
async def test_an_answer_may_come_in_any_form(pieces):
    async with running(saying(*pieces)) as (client, server):
        assert await client.request("GET", "/") == (200, b"yes")
        assert await client.request("GET", "/") == (200, b"yes")

    assert len(server.connections) == 1


async def test_a_server_that_wants_to_close_is_not_asked_again():
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with running(saying(closing)) as (client, server):
        await client.request("GET", "/")
        await client.request("GET", "/")

    assert len(server.connections) == 2


@pytest.mark.parametrize("said", [b"", OK[:-1], b"HTTP/1.1 200 OK\r\n\r\nno end"])
async def test_a_connection_that_ends_gives_no_answer(said):
    async def script(_, writer):
        writer.write(said)
        writer.close()

    async with running(script) as (client, _):
        with pytest.raises(ConnectionResetError):
            await client.request("GET", "/")


@pytest.mark.parametrize(
    "said", [b"220 mx.test ESMTP\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", b"\0" * 9]
)
async def test_what_is_no_answer_breaks_the_connection(said):
    async with running(saying(said)) as (client, server):
        for _ in range(2):
            with pytest.raises(BrokenAnswerError):
                await client.request("GET", "/")

    assert len(server.connections) == 2


async def test_nobody_gets_an_answer_that_came_too_late_for_another():
    async def script(asked, writer):
        if b"/slow" in asked[-1]:
            await asyncio.sleep(0.3)
        writer.write(OK.replace(b"yes", asked[-1].split()[1][1:4]))

    async with running(script, patience=0.1) as (client, server):
        with pytest.raises(TimeoutError):
            await client.request("GET", "/slow")
        for name in (b"one", b"two"):
            assert await client.request("GET", f"/{name.decode()}") == (200, name)
            await asyncio.sleep(0.2)

    assert len(server.connections) == 2


@pytest.mark.parametrize("more", [OK, OK[:9]])
async def test_who_speaks_unasked_is_not_asked_again(more):
    async with running(saying(OK + more)) as (client, server):
        assert await client.request("GET", "/") == (200, b"yes")
        assert await client.request("GET", "/") == (200, b"yes")

    assert len(server.connections) == 2


async def test_a_connection_that_was_idle_for_long_is_not_used(monkeypatch):
    async with running(saying(OK)) as (client, server):
        await client.request("GET", "/")
        monkeypatch.setattr(http_client, "KEEP", 0.0)
        await client.request("GET", "/")

    assert len(server.connections) == 2


async def test_a_server_that_closes_meanwhile_costs_no_question():
    async def script(_, writer):
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with running(script) as (client, _):
        for _ in range(3):
            assert await client.request("GET", "/") == (200, b"yes")
            await asyncio.sleep(0.05)


async def test_a_certificate_that_nobody_vouches_for_is_no_server(tmp_path, monkeypatch):
    context = self_signed(tmp_path)
    async with running(saying(OK), tls=context) as (client, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.request("GET", "/")


async def test_a_closed_client_asks_nobody():
    async with running(saying(OK)) as (client, server):
        await client.request("GET", "/")
        client.close()
        with pytest.raises(ConnectionAbortedError):
            await client.request("GET", "/")

    assert len(server.connections) == 1


@pytest.mark.parametrize("url", ["", "auth:8000", "ftp://auth", "http://", "http:///x"])
def test_a_url_without_a_server_is_refused(url):
    with pytest.raises(ValueError, match="is not http"):
        HttpClient(url, {}, timeout=1)


def test_a_field_cannot_bring_another_one_along():
    with pytest.raises(ValueError, match="line end"):
        HttpClient("http://auth", {"Authorization": "Bearer x\r\nX: y"}, timeout=1)
