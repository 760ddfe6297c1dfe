"""Directions over a name server of our own, and over one that fails as it is told."""

import asyncio

import pytest

from kernel.clock import system_clock
from kernel.model.sending import Route, Target
from kernel.mtasts import parse_policy
from kernel.names import NameServers
from services.delivery.adapters.dns import DnsDirections, Ourselves, RoutedDirections
from services.delivery.adapters.hosts import Hosts, is_this_machine
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.dane import Dane
from services.delivery.core.exchangers import (
    LOOP,
    NO_DNS,
    NO_HOST,
    NO_SUCH_DOMAIN,
    NO_TARGET,
    NULL_MX,
)
from services.delivery.core.routes import Family, Host, parse_routes
from services.delivery.ports import Site
from tests.support.names import SERVFAIL, name_server

US = "mx.ours.test"
PORT = 25
X, A, B = "x.test", "a.test", "b.test"
ONE, TWO, SIX = "203.0.113.1", "203.0.113.2", "2001:db8::1"
MX_A, MX_AB = ["10 a.test."], ["20 b.test.", "10 a.test."]


class Policies:
    """Every domain says this of its servers."""

    def __init__(self, text):
        self._policy = parse_policy(text)

    async def find(self, domain):
        return self._policy


@pytest.fixture
async def server():
    async with name_server({}) as server:
        yield server


@pytest.fixture
def directions(server):
    """Return directions for a zone; the server answers from it at once."""

    def make(zone, *, secure=(), policy=None, families=tuple(Family), ours=(), port=PORT):
        server.zone, server.secure = dict(zone), set(secure)
        names = NameServers([server.address], dnssec=True)
        hosts = Hosts(names, families)
        reports = TlsReports(system_clock, US)
        policies = Policies(policy) if policy else None
        return DnsDirections(hosts, Ourselves(US, ours), port, reports, policies)

    return make


async def test_hosts_come_in_order_of_preference_with_all_their_addresses(directions):
    zone = {(X, "MX"): MX_AB, (A, "A"): [ONE], (A, "AAAA"): [SIX], (B, "A"): [TWO]}

    found = await directions(zone).find(X)

    assert found == Site(
        "a.test,b.test", (Host(A, ONE, PORT), Host(A, SIX, PORT), Host(B, TWO, PORT))
    )
    assert found.domain == X


async def test_a_domain_without_mx_is_its_own_mx(directions):
    assert await directions({(X, "A"): [ONE]}).find(X) == Site(X, (Host(X, ONE, PORT),))


async def test_aliases_are_followed_for_a_domain_and_for_its_servers(directions):
    zone = {
        (X, "CNAME"): ["y.test."],
        ("y.test", "MX"): ["10 alias.test."],
        ("alias.test", "CNAME"): ["a.test."],
        (A, "A"): [ONE],
    }

    assert (await directions(zone).find(X)).hosts == (Host("alias.test", ONE, PORT),)


async def test_a_family_that_is_not_used_is_not_asked_for(server, directions):
    zone = {(X, "MX"): MX_A, (A, "A"): [ONE], (A, "AAAA"): [SIX]}

    found = await directions(zone, families=[Family.IPV6]).find(X)

    assert found.hosts == (Host(A, SIX, PORT),)
    assert (A, "A") not in server.asked


async def test_domains_that_share_their_servers_share_their_site(directions):
    ways = directions({(X, "MX"): MX_A, ("y.test", "MX"): MX_A, (A, "A"): [ONE]})

    assert await ways.find(X) == await ways.find("y.test")


async def test_nobody_passes_for_a_site_by_naming_its_servers_among_many(directions):
    many = [f"10 mx{number}.test." for number in range(20)]
    zone = {(X, "MX"): many, ("y.test", "MX"): [*many, "5 z.test."]}
    zone |= {(f"mx{number}.test", "A"): [ONE] for number in range(20)} | {("z.test", "A"): [TWO]}
    ways = directions(zone)

    assert (await ways.find(X)).name != (await ways.find("y.test")).name


@pytest.mark.parametrize(
    ("zone", "reply"),
    [
        ({}, NO_SUCH_DOMAIN),
        ({(X, "MX"): SERVFAIL}, NO_DNS),
        ({(X, "MX"): ["0 ."]}, NULL_MX),
        ({(X, "MX"): [f"10 {US}."]}, LOOP),
        ({(X, "TXT"): ["nothing else"]}, NO_HOST),
        ({(X, "MX"): MX_A}, NO_HOST),
        ({(X, "MX"): ["10 203.0.113.1."]}, NO_HOST),
        ({(X, "MX"): MX_A, (A, "A"): SERVFAIL}, NO_DNS),
        ({(X, "MX"): MX_AB, (A, "A"): SERVFAIL, (B, "TXT"): ["no address"]}, NO_DNS),
    ],
    ids=[
        "the domain does not exist",
        "no name server answers",
        "null MX",
        "it leads back to us",
        "neither MX nor address",
        "the MX does not exist",
        "the MX is no name",
        "the address of the MX is unknown",
        "one of two is unknown",
    ],
)
async def test_a_domain_may_have_no_way(directions, zone, reply):
    assert await directions(zone).find(X) == reply


async def test_one_host_in_doubt_does_not_keep_mail_from_the_other(directions):
    found = await directions({(X, "MX"): MX_AB, (A, "A"): SERVFAIL, (B, "A"): [TWO]}).find(X)

    assert found.hosts == (Host(B, TWO, PORT),)


@pytest.mark.parametrize(
    ("literal", "address"), [("[203.0.113.1]", ONE), ("[ipv6:2001:db8::1]", SIX)]
)
async def test_a_literal_needs_no_name_server(server, directions, literal, address):
    assert await directions({}).find(literal) == Site(literal, (Host(literal, address, PORT),))
    assert server.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::ffff:7f00:1"])
async def test_a_domain_that_points_at_whoever_asks_has_no_way(directions, address):
    kind, tag = ("AAAA", "ipv6:") if ":" in address else ("A", "")
    ways = directions({(X, "MX"): MX_A, (A, kind): [address]})

    assert await ways.find(X) == LOOP
    assert await ways.find(f"[{tag}{address}]") == LOOP


async def test_hosts_elsewhere_are_tried_beside_one_that_points_here(directions):
    found = await directions({(X, "A"): ["127.0.0.1", ONE]}).find(X)

    assert found.hosts == (Host(X, ONE, PORT),)


async def test_our_own_address_ends_the_way_under_any_name(directions):
    zone = {(X, "MX"): [*MX_AB, "15 other.test."], (A, "A"): [ONE], (B, "A"): [TWO]}
    zone["other.test", "A"] = ["203.0.113.7"]

    assert (await directions(zone, ours={"203.0.113.7"}).find(X)).hosts == (Host(A, ONE, PORT),)
    assert await directions(zone, ours={ONE}).find(X) == LOOP
    assert await directions(zone, ours={ONE}).find(f"[{ONE}]") == LOOP


@pytest.mark.parametrize(
    ("address", "is_ours"), [("127.0.0.1", True), ("::1", True), (ONE, False), (SIX, False)]
)
def test_an_address_of_this_machine_is_known(address, is_ours):
    assert is_this_machine(address) is is_ours


async def test_many_who_ask_at_once_share_one_look_up(server, directions):
    ways = directions({(X, "MX"): MX_A, (A, "A"): [ONE]})

    await asyncio.gather(*(ways.find(X) for _ in range(10)))
    await ways.find(X)

    assert server.asked == [(X, "MX"), (A, "A"), (A, "AAAA")]


async def test_a_failure_of_dns_is_not_remembered(server, directions):
    ways = directions({(X, "MX"): SERVFAIL})
    assert await ways.find(X) == NO_DNS

    server.zone = {(X, "A"): [ONE]}
    await asyncio.sleep(0)

    assert (await ways.find(X)).name == X


TLSA = "3 1 1 " + "0a" * 32
SIGNED = {(X, "MX"): MX_A, (A, "A"): [ONE], (f"_{PORT}._tcp.a.test", "TLSA"): [TLSA]}


@pytest.mark.parametrize(
    ("secure", "dane"),
    [
        ({X, A, f"_{PORT}._tcp.a.test"}, True),
        ({A, f"_{PORT}._tcp.a.test"}, False),
        ({X, f"_{PORT}._tcp.a.test"}, False),
        ({X, A}, False),
    ],
    ids=["all is signed", "the MX is not", "the address is not", "the TLSA is not"],
)
async def test_dane_counts_where_every_step_is_signed(directions, secure, dane):
    found = await directions(SIGNED, secure=secure).find(X)

    assert found.hosts[0].dane == (Dane.of(A, [TLSA]) if dane else None)
    assert found.signed is (X in secure)


async def test_a_server_of_which_signed_dns_does_not_answer_is_in_doubt(directions):
    zone = {**SIGNED, (f"_{PORT}._tcp.a.test", "TLSA"): SERVFAIL}

    ways = directions(zone, secure={X, A})
    assert await ways.find(X) == NO_DNS
    (part,) = ways._reports._tally.reports(US, "", system_clock())[X]["policies"]
    assert part["failure-details"][0]["result-type"] == "dnssec-invalid"
    assert (await directions(zone, secure={A}).find(X)).hosts == (Host(A, ONE, PORT),)


async def test_where_a_server_is_an_alias_dane_is_asked_where_it_leads(directions):
    zone = {
        (X, "MX"): ["10 alias.test."],
        ("alias.test", "CNAME"): ["a.test."],
        (A, "A"): [ONE],
        (f"_{PORT}._tcp.a.test", "TLSA"): [TLSA],
    }
    secure = {X, "alias.test", A, f"_{PORT}._tcp.a.test"}

    (host,) = (await directions(zone, secure=secure).find(X)).hosts

    assert (host.name, host.server_name) == ("alias.test", "a.test")


@pytest.mark.parametrize("mode", ["enforce", "testing"])
async def test_what_a_domain_says_of_its_servers_comes_along(directions, mode):
    policy = f"version: STSv1\nmode: {mode}\nmax_age: 60\nmx: *.test\n"

    found = await directions({(X, "MX"): MX_A, (A, "A"): [ONE]}, policy=policy).find(X)

    assert found.sts.mode == mode
    assert found.is_certain is (mode == "enforce")


@pytest.fixture
def routed(directions):
    """Return directions by these routes, else by this zone."""

    def make(*routes, zone=None):
        otherwise = directions(zone or {})
        return RoutedDirections(lambda: routes, otherwise._hosts, otherwise)

    return make


async def test_a_route_needs_no_name_server(server, routed):
    ways = routed(*parse_routes({X: "127.0.0.1:2600"}))

    assert (await ways.find(X)).hosts == (Host("127.0.0.1", "127.0.0.1", 2600),)
    assert await ways.find("y.test") == NO_SUCH_DOMAIN
    assert (A, "A") not in server.asked


async def test_the_servers_of_a_route_are_looked_up_and_tried_in_their_order(routed):
    route = Route("*", (Target(B, 26), Target(A, 587), Target("nothing.test", 25)))
    ways = routed(route, zone={(A, "A"): [ONE], (A, "AAAA"): [SIX], (B, "A"): [TWO]})

    found = await ways.find(X)

    assert found.hosts == (Host(B, TWO, 26), Host(A, ONE, 587), Host(A, SIX, 587))
    assert found.is_ours_to_name
    assert (found.route, found.domain) == (route, X)


async def test_what_dns_does_not_know_the_system_may(routed):
    found = await routed(Route("*", (Target("localhost", 26),))).find(X)

    assert Host("localhost", "127.0.0.1", 26) in found.hosts


@pytest.mark.parametrize("zone", [{}, {("gone.test", "A"): SERVFAIL}], ids=["missing", "unknown"])
async def test_a_route_that_leads_nowhere_keeps_mail_waiting(routed, zone):
    assert await routed(Route("*", (Target("gone.test", 25),)), zone=zone).find(X) == NO_TARGET


async def test_of_a_server_with_many_addresses_a_few_are_enough(directions):
    zone = {(X, "A"): [f"203.0.113.{n}" for n in range(1, 31)]}

    assert len((await directions(zone).find(X)).hosts) == 8
