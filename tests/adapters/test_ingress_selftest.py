"""Ingress visits itself over TCP as a stranger, and leaves no traces."""

import asyncio
from itertools import chain

import pytest
from structlog.testing import capture_logs

from kernel.model.questions import AdmissionAnswer, RelayAnswer
from services.ingress import metrics
from services.ingress.adapters.visiting import (
    NotReachedError,
    Way,
    meet,
    own_addresses,
    replies_to,
    ways_to,
)
from services.ingress.core.probes import Names, probes
from tests.dialogs.house import TAKEN, open_house, soon

LISTENERS = ("mx", "submission", "submissions")
VISITOR = "127.0.0.2"
PROBES = probes(Names("ours.test", "mx.ours.test"))


def asked(house):
    return list(chain.from_iterable(house.auth.batches))


def visited(house):
    return {question.listener for question in asked(house) if question.client == VISITOR}


def trouble(house):
    return house.platform.health.troubles().get("open relay", "")


def way_to(house, listener, source=VISITOR):
    host, port = house.address(listener)
    return Way(host, port, source, listener == "submissions")


async def test_every_listener_is_visited_and_nobody_counts_or_logs_it(tmp_path):
    before = [metrics.refused_recipients(name)._value.get() for name in LISTENERS]

    with capture_logs() as logs:
        async with open_house(tmp_path, self_test=True) as house:
            await soon(lambda: visited(house) == {*LISTENERS})
            await soon(lambda: trouble(house) == "")
            assert house.ingress.crowd.size == 0

    assert all(question.trial for question in asked(house))
    assert {line["event"] for line in logs} <= {"listening", "certificate"}
    assert [metrics.refused_recipients(name)._value.get() for name in LISTENERS] == before


async def test_what_only_a_real_connection_shows_is_found(tmp_path):
    async with open_house(tmp_path, self_test=True, auth_away=True, wait=False) as house:
        decide = house.auth.decide

        def careless(question):
            taken = question.client == VISITOR
            return RelayAnswer(TAKEN, "lan") if taken else decide(question)

        house.auth.decide = careless
        house.auth.away = False

        await soon(lambda: "this is an open relay: mx (stranger to stranger" in trouble(house))


async def test_from_the_lan_nobody_visits(tmp_path):
    async with open_house(tmp_path, self_test=True, auth_away=True, wait=False) as house:
        house.auth.admission = AdmissionAnswer(admitted=True, in_lan=True)
        house.auth.away = False

        await soon(lambda: "is on the LAN" in trouble(house))

    assert asked(house) == []


async def test_where_a_port_is_shared_nobody_visits(tmp_path):
    async with open_house(tmp_path, self_test=True, reuse_port=True) as house:
        await soon(lambda: trouble(house) == "")

    assert visited(house) == set()


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_visitor_hears_the_last_word_on_every_probe(tmp_path, listener):
    async with open_house(tmp_path) as house:
        callers = set()
        way = way_to(house, listener)

        replies = await replies_to(way, PROBES, callers)
        met = await meet(way)

    assert len(replies) == len(PROBES)
    assert all(reply.is_permanent or reply.code == 250 for reply in replies)
    assert (met.source, met.name) == (VISITOR, "mx.ours.test")
    assert callers == set()


async def test_who_is_not_let_in_hears_that_for_every_probe(tmp_path):
    async with open_house(tmp_path) as house:
        await house.change("mx", restricted=True)
        house.auth.admission = AdmissionAnswer(admitted=False)

        replies = await replies_to(way_to(house, "mx"), PROBES, set())

    assert {reply.code for reply in replies} == {554}


async def test_nobody_there_is_no_answer():
    with pytest.raises(NotReachedError):
        await meet(Way("127.0.0.1", 1))


async def test_who_does_not_speak_smtp_is_no_answer():
    async def babble(_, writer):
        writer.write(b"SSH-2.0-something\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReachedError):
            await meet(Way("127.0.0.1", port))


def test_strangers_ways_come_first():
    assert [way.source for way in ways_to("127.0.0.1:25", implicit_tls=False)] == [VISITOR, ""]
    for address in own_addresses():
        (way,) = ways_to(f"[{address}]:25", implicit_tls=True)
        assert way == Way(address, 25, address, implicit_tls=True)
    everywhere = ways_to("[::]:25", implicit_tls=False)
    assert [way.source for way in everywhere] == [*own_addresses(), VISITOR, ""]
    assert all(":" not in way.source for way in ways_to("0.0.0.0:25", implicit_tls=False))
    chosen = ways_to("[::]:25", "192.0.2.9", implicit_tls=False)
    assert chosen == (Way("127.0.0.1", 25, "192.0.2.9"),)
