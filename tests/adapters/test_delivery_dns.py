"""Directions over scripted name servers, and the resolver against a name server of our own."""

import asyncio

import pytest

from kernel.names import NameServers
from services.delivery.adapters.dns import (
    DnsDirections,
    DnsUnavailableError,
    NoSuchNameError,
    Resolver,
    RoutedDirections,
)
from services.delivery.core.exchangers import (
    LOOP,
    NO_DNS,
    NO_HOST,
    NO_SUCH_DOMAIN,
    NULL_MX,
    Exchanger,
)
from services.delivery.core.routes import Host, parse_routes
from services.delivery.ports import Site
from tests.support.names import SERVFAIL, name_server

US = "mx.ours.test"


class ScriptedNameServers:
    """``mx`` and ``a`` map names to answers; an exception is raised, a missing name is missing."""

    def __init__(self, mx=None, a=None):
        self.records = {"mx": mx or {}, "a": a or {}}
        self.asked = []

    async def mx(self, name):
        return self._answer("mx", name)

    async def addresses(self, name):
        return self._answer("a", name)

    def _answer(self, kind, name):
        self.asked.append((kind, name))
        answer = self.records[kind].get(name, NoSuchNameError(name))
        if isinstance(answer, Exception):
            raise answer
        return answer


def directions(mx=None, a=None):
    return DnsDirections(ScriptedNameServers(mx, a), US, 25)


TEMPORARY = DnsUnavailableError("no name server answers")


async def test_hosts_come_in_order_of_preference_with_all_their_addresses():
    found = await directions(
        mx={"x.test": [Exchanger(20, "b.test"), Exchanger(10, "a.test")]},
        a={"a.test": ["192.0.2.1", "2001:db8::1"], "b.test": ["192.0.2.2"]},
    ).find("x.test")

    assert found == Site(
        "a.test,b.test",
        (
            Host("a.test", "192.0.2.1", 25),
            Host("a.test", "2001:db8::1", 25),
            Host("b.test", "192.0.2.2", 25),
        ),
    )


async def test_a_domain_without_mx_is_its_own_mx():
    found = await directions(mx={"x.test": []}, a={"x.test": ["192.0.2.1"]}).find("x.test")

    assert found == Site("x.test", (Host("x.test", "192.0.2.1", 25),))


async def test_domains_that_share_their_servers_share_their_site():
    ways = directions(
        mx={name: [Exchanger(10, "a.test")] for name in ("x.test", "y.test")},
        a={"a.test": ["192.0.2.1"]},
    )

    assert await ways.find("x.test") == await ways.find("y.test")


@pytest.mark.parametrize(
    ("mx", "a", "reply"),
    [
        ({}, {}, NO_SUCH_DOMAIN),
        ({"x.test": TEMPORARY}, {}, NO_DNS),
        ({"x.test": [Exchanger(0, "")]}, {}, NULL_MX),
        ({"x.test": [Exchanger(10, US)]}, {}, LOOP),
        ({"x.test": []}, {"x.test": []}, NO_HOST),
        ({"x.test": [Exchanger(10, "a.test")]}, {}, NO_HOST),
        ({"x.test": [Exchanger(10, "a.test")]}, {"a.test": TEMPORARY}, NO_DNS),
        (
            {"x.test": [Exchanger(10, "a.test"), Exchanger(20, "b.test")]},
            {"a.test": TEMPORARY, "b.test": []},
            NO_DNS,
        ),
    ],
    ids=[
        "the domain does not exist",
        "no name server answers",
        "null MX",
        "it leads back to us",
        "neither MX nor address",
        "the MX does not exist",
        "the address of the MX is unknown",
        "one of two is unknown",
    ],
)
async def test_a_domain_may_have_no_way(mx, a, reply):
    assert await directions(mx, a).find("x.test") == reply


async def test_one_host_in_doubt_does_not_keep_mail_from_the_other():
    found = await directions(
        mx={"x.test": [Exchanger(10, "a.test"), Exchanger(20, "b.test")]},
        a={"a.test": TEMPORARY, "b.test": ["192.0.2.2"]},
    ).find("x.test")

    assert found.hosts == (Host("b.test", "192.0.2.2", 25),)


@pytest.mark.parametrize(
    ("literal", "address"),
    [("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")],
)
async def test_a_literal_needs_no_name_server(literal, address):
    assert await directions().find(literal) == Site(literal, (Host(literal, address, 25),))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::ffff:127.0.0.1"]
)
async def test_a_domain_that_points_at_whoever_asks_has_no_way(address):
    tag = "ipv6:" if ":" in address else ""
    ways = directions(mx={"x.test": [Exchanger(10, "a.test")]}, a={"a.test": [address]})

    assert await ways.find("x.test") == LOOP
    assert await ways.find(f"[{tag}{address}]") == LOOP


async def test_hosts_elsewhere_are_tried_beside_one_that_points_here():
    ways = directions(a={"x.test": ["127.0.0.1", "192.0.2.1"]}, mx={"x.test": []})

    assert (await ways.find("x.test")).hosts == (Host("x.test", "192.0.2.1", 25),)


async def test_many_who_ask_at_once_share_one_look_up():
    ways = directions(mx={"x.test": [Exchanger(10, "a.test")]}, a={"a.test": ["192.0.2.1"]})

    await asyncio.gather(*(ways.find("x.test") for _ in range(10)))
    await ways.find("x.test")

    assert ways._name_servers.asked == [("mx", "x.test"), ("a", "a.test")]


async def test_a_failure_of_dns_is_not_remembered():
    ways = directions(mx={"x.test": TEMPORARY})
    assert await ways.find("x.test") == NO_DNS

    ways._name_servers.records = {"mx": {"x.test": []}, "a": {"x.test": ["192.0.2.1"]}}

    assert (await ways.find("x.test")).name == "x.test"


async def test_a_route_needs_no_name_server():
    routes = parse_routes({"x.test": "127.0.0.1:2600"})
    ways = RoutedDirections(lambda: routes, otherwise=directions())

    assert (await ways.find("x.test")).hosts == (Host("127.0.0.1", "127.0.0.1", 2600),)
    assert await ways.find("y.test") == NO_SUCH_DOMAIN


ZONE = {
    ("x.test", "MX"): ["10 A.test.", "20 b.test."],
    ("a.test", "A"): ["192.0.2.1"],
    ("a.test", "AAAA"): ["2001:db8::1"],
    ("empty.test", "TXT"): ["here"],
    ("null.test", "MX"): ["0 ."],
    ("broken.test", "MX"): SERVFAIL,
}


@pytest.fixture
async def resolver():
    async with name_server(ZONE) as server:
        yield Resolver(NameServers([server.address]))


async def test_the_resolver_reads_records(resolver):
    assert set(await resolver.mx("x.test")) == {Exchanger(10, "a.test"), Exchanger(20, "b.test")}
    assert await resolver.addresses("a.test") == ["192.0.2.1", "2001:db8::1"]
    assert await resolver.mx("null.test") == [Exchanger(0, "")]


async def test_a_name_without_such_records_has_none(resolver):
    assert await resolver.mx("empty.test") == []
    assert await resolver.addresses("empty.test") == []


async def test_a_name_that_does_not_exist_is_told_from_one_that_cannot_be_looked_up(resolver):
    with pytest.raises(NoSuchNameError):
        await resolver.mx("nothing.test")
    with pytest.raises(NoSuchNameError):
        await resolver.addresses("nothing.test")
    with pytest.raises(DnsUnavailableError):
        await resolver.mx("broken.test")
