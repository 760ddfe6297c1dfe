"""Calling a host at all its addresses (RFC 8305)."""

import asyncio
import errno
import socket

import pytest

from services.delivery.adapters import calling
from services.delivery.adapters.calling import CannotConnectError, call
from services.delivery.core.routes import Host

DEADLINE = 10


class Network:
    """Connects nobody: says what becomes of a call to each address, and when."""

    def __init__(self, monkeypatch, **outcomes):
        self.outcomes = outcomes
        self.called = []
        self.lines = []
        monkeypatch.setattr(calling, "_connect", self.connect)

    async def connect(self, host, source):
        self.called.append(host.name)
        outcome = self.outcomes[host.name]
        if isinstance(outcome, OSError):
            raise outcome
        await outcome()
        line = socket.socket()
        self.lines.append((host.name, line))
        return line

    @property
    def open(self):
        return {name for name, line in self.lines if line.fileno() != -1}


async def at_once():
    pass


async def never():
    await asyncio.Event().wait()


def hosts(*names):
    return [Host(name, f"203.0.113.{n}", 25) for n, name in enumerate(names)]


UNREACHABLE = OSError(errno.ENETUNREACH, "no such network")


async def calls(*names, limit=DEADLINE, source=""):
    async with asyncio.timeout(DEADLINE):
        host, line = await call(hosts(*names), source, limit)
    line.close()
    return host.name


async def test_the_first_that_answers_is_taken_and_no_other_is_called(monkeypatch):
    network = Network(monkeypatch, a=at_once, b=at_once)

    assert await calls("a", "b") == "a"
    assert network.called == ["a"]


async def test_one_that_fails_at_once_makes_room_at_once(monkeypatch):
    monkeypatch.setattr(calling, "STAGGER", 1000)
    network = Network(monkeypatch, a=UNREACHABLE, b=UNREACHABLE, c=at_once)

    assert await calls("a", "b", "c") == "c"
    assert network.called == ["a", "b", "c"]


async def test_one_that_says_nothing_has_company_soon(monkeypatch):
    monkeypatch.setattr(calling, "STAGGER", 0.01)
    Network(monkeypatch, a=never, b=at_once)

    assert await calls("a", "b") == "b"


async def test_a_slow_one_may_still_win(monkeypatch):
    monkeypatch.setattr(calling, "STAGGER", 0.01)
    second_called = asyncio.Event()

    async def slow():
        await second_called.wait()

    async def slower():
        second_called.set()
        await never()

    Network(monkeypatch, a=slow, b=slower)

    assert await calls("a", "b") == "a"


async def test_whoever_comes_second_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(calling, "STAGGER", 0.01)
    together = asyncio.Event()

    async def first():
        await together.wait()

    async def second():
        together.set()

    network = Network(monkeypatch, a=first, b=second)

    await calls("a", "b")
    assert network.open == set()


async def test_nobody_answers(monkeypatch):
    Network(monkeypatch, a=UNREACHABLE, b=OSError("refused"))

    with pytest.raises(CannotConnectError, match="refused"):
        await calls("a", "b")


async def test_patience_ends(monkeypatch):
    monkeypatch.setattr(calling, "STAGGER", 0.01)
    network = Network(monkeypatch, a=never, b=never)

    with pytest.raises(CannotConnectError):
        await calls("a", "b", limit=0.1)
    assert network.called == ["a", "b"]


async def test_who_is_cut_short_leaves_nothing_behind(monkeypatch):
    network = Network(monkeypatch, a=never)
    before = asyncio.all_tasks()

    task = asyncio.create_task(calls("a"))
    while not network.called:  # noqa: ASYNC110 - a deadline stands around it
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert asyncio.all_tasks() == before


@pytest.fixture
async def listener():
    """Somebody who listens on two addresses, and says whom they see."""
    peers = []

    async def greet(_, writer):
        peers.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], peers
    server.close()


async def test_a_call_goes_out_from_the_address_that_is_wanted(listener):
    port, peers = listener
    addresses = [Host("x", "::1", port), Host("x", "127.0.0.1", port)]

    host, line = await call(addresses, "127.0.0.5", DEADLINE)
    while not peers:  # noqa: ASYNC110 - the test's own limit stands around it
        await asyncio.sleep(0.01)

    assert host.address == "127.0.0.1"  # the other is of another family
    assert peers == ["127.0.0.5"]
    line.close()


async def test_where_all_are_of_another_family_there_is_no_way(listener):
    port, _ = listener

    with pytest.raises(CannotConnectError, match="family"):
        await call([Host("x", "127.0.0.1", port)], "2001:db8::1", DEADLINE)


async def test_ipv6_is_dialled_too():
    async def greet(_, writer):
        writer.close()

    server = await asyncio.start_server(greet, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        host, line = await call([Host("x", "::1", port)], "", DEADLINE)
        line.close()

    assert host.address == "::1"
