"""Questions over connections that are kept: whatever a server does, no answer goes astray."""

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress

import pytest

from kernel import http_client
from kernel.http_client import BrokenAnswerError, HttpClient
from kernel.tasks import end_all
from tests.support.certificates import self_signed
from tests.support.ports import free_port

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
async def running(script, *, tls=None, patience=5.0, path="", serves=Server):
    server = serves(script)
    serving = []

    async def serve(reader, writer):
        serving.append(asyncio.current_task())
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    client = HttpClient(f"{scheme}://{host}:{port}{path}", FIELDS, timeout=patience)
    try:
        yield client, server
    finally:
        client.close()
        listening.close()
        await end_all(serving)


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


async def test_who_goes_on_unasked_is_left_alone():
    gone = asyncio.Event()

    async def script(_, writer):
        writer.write(OK + OK)
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        gone.set()

    async with running(script) as (client, _):
        await client.request("GET", "/")
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_connection_that_is_being_closed_is_not_asked():
    async with running(saying(OK)) as (client, server):
        await client.request("GET", "/")
        client._idle[0]._transport.close()
        assert await client.request("GET", "/") == (200, b"yes")

    assert len(server.connections) == 2


async def test_an_answer_before_the_end_of_the_question_ends_the_connection():
    class Hasty(Server):
        async def serve(self, reader, writer):
            if b"/much" not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
            else:
                writer.write(b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n")
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(5)
            writer.close()

    async with running(saying(), serves=Hasty) as (client, _), asyncio.timeout(0.4):
        assert await client.request("POST", "/much", bytes(20_000_000)) == (413, b"")
        assert await client.request("GET", "/") == (200, b"yes")


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


class Names:
    """Stands in for DNS: ``addresses`` have the name ``auth.test``."""

    def __init__(self, *addresses) -> None:
        self.addresses = addresses
        self.asked = 0

    async def getaddrinfo(self, host, port, **_):
        assert host == "auth.test"
        self.asked += 1
        await asyncio.sleep(0.01)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in self.addresses]


@asynccontextmanager
async def named(monkeypatch, names, *, patience=5.0):
    """Yield a client of auth.test, and the port on which its addresses are asked."""
    port = free_port()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    client = HttpClient(f"http://auth.test:{port}", FIELDS, timeout=patience)
    yield client, port
    client.close()


@asynccontextmanager
async def served(server, address, port):
    """Let ``server`` answer at ``address`` meanwhile."""
    async with await asyncio.start_server(server.serve, address, port):
        yield
        await asyncio.sleep(0.01)  # its connections end


async def test_the_addresses_of_a_name_are_asked_by_turns_and_looked_up_once(monkeypatch):
    names = Names("127.0.0.2", "127.0.0.3")
    one, other = Server(saying(b"", OK)), Server(saying(b"", OK))
    async with AsyncExitStack() as stack:
        client, port = await stack.enter_async_context(named(monkeypatch, names))
        for server, address in zip((one, other), names.addresses, strict=True):
            await stack.enter_async_context(served(server, address, port))
        await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(20)))
        client.close()

    assert [len(one.connections), len(other.connections)] == [10, 10]
    assert names.asked == 1


async def test_an_address_that_is_silent_keeps_nobody_waiting(monkeypatch):
    names = Names("127.0.0.2", "127.0.0.3")
    async with (
        named(monkeypatch, names, patience=2) as (client, port),
        served(Server(saying(OK)), "127.0.0.3", port),
    ):
        with socket.socket() as silent, ExitStack() as stack:
            silent.bind(("127.0.0.2", port))
            silent.listen(0)
            for _ in range(3):  # more than it has room for
                caller = stack.enter_context(socket.socket())
                caller.settimeout(0)
                caller.connect_ex(("127.0.0.2", port))
            for _ in range(2):
                assert await client.request("GET", "/") == (200, b"yes")
                client._idle.pop().close()


async def test_a_server_that_has_moved_is_found(monkeypatch):
    names = Names("127.0.0.2")
    async with named(monkeypatch, names) as (client, port):
        with pytest.raises(ConnectionRefusedError):
            await client.request("GET", "/")
        names.addresses = ("127.0.0.3",)
        async with served(Server(saying(OK)), "127.0.0.3", port):
            assert await client.request("GET", "/") == (200, b"yes")
            client.close()


async def test_a_certificate_that_nobody_vouches_for_is_no_server(tmp_path):
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


@pytest.mark.parametrize(
    "url", ["", "auth:8000", "ftp://auth", "http://", "http:///x", "http://a..b"]
)
def test_a_url_without_a_server_is_refused(url):
    with pytest.raises(ValueError, match=r"is not http|label empty"):
        HttpClient(url, {}, timeout=1)


def test_a_field_cannot_bring_another_one_along():
    with pytest.raises(ValueError, match="line end"):
        HttpClient("http://auth", {"Authorization": "Bearer x\r\nX: y"}, timeout=1)
