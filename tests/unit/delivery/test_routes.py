import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.sending import Target, route_for
from services.delivery.core.routes import (
    BadRouteError,
    Family,
    Host,
    by_server,
    in_turn,
    parse_routes,
)

ROUTES = parse_routes(
    {
        "special.example.org": "10.0.0.1:25",
        ".example.org": "10.0.0.2:25",
        "example.org": "10.0.0.3:2525",
        "*": "[2001:db8::1]:26",
    }
)


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        ("special.example.org", "10.0.0.1"),
        ("other.example.org", "10.0.0.2"),
        ("deep.special.example.org", "10.0.0.2"),
        ("example.org", "10.0.0.3"),
        ("notexample.org", "2001:db8::1"),
        ("[192.0.2.1]", "2001:db8::1"),
    ],
)
def test_the_first_route_that_covers_a_domain_wins(domain, address):
    (target,) = route_for(domain, ROUTES).targets

    assert target.host == address


def test_a_domain_without_a_route_has_none():
    assert route_for("elsewhere.test", ROUTES[:3]) is None


def test_order_counts_and_not_precision():
    routes = parse_routes({"*": "a.test:1", "example.org": "b.test:2"})

    assert route_for("example.org", routes).targets == (Target("a.test", 1),)


@pytest.mark.parametrize("target", ["a.test", "a.test:", ":25", "a.test:smtp", ""])
def test_a_route_without_host_and_port_is_refused(target):
    with pytest.raises(BadRouteError):
        parse_routes({"*": target})


def test_patterns_are_compared_without_case():
    assert route_for("example.org", parse_routes({"Example.ORG": "a.test:1"}))


def test_a_host_is_shown_with_its_address():
    assert str(Host("mx.test", "192.0.2.1", 25)) == "mx.test[192.0.2.1]:25"
    assert str(Host("192.0.2.1", "192.0.2.1", 25)) == "192.0.2.1:25"
    assert str(Host("mx.test", "192.0.2.1", 25, secured="TLSv1.3, verified by DANE")) == (
        "mx.test[192.0.2.1]:25, TLSv1.3, verified by DANE"
    )


def test_the_addresses_of_a_server_belong_together():
    here, there = Host("a.test", "192.0.2.1", 25), Host("a.test", "192.0.2.1", 26)
    also, other = Host("a.test", "2001:db8::1", 25), Host("b.test", "192.0.2.1", 25)

    assert by_server([here, also, other, there]) == [(here, also), (other,), (there,)]


V4, V6 = Family
ADDRESSES = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ([V4, V6], [0, 3, 1, 4, 2]),
        ([V6, V4], [3, 0, 4, 1, 2]),
        ([V4], [0, 1, 2]),
        ([V6], [3, 4]),
    ],
    ids=["IPv4 first", "IPv6 first", "IPv4 alone", "IPv6 alone"],
)
def test_families_take_turns(families, expected):
    assert in_turn(ADDRESSES, families) == tuple(ADDRESSES[place] for place in expected)


@given(st.permutations(ADDRESSES), st.permutations([V4, V6]))
def test_no_address_is_lost_or_doubled(addresses, families):
    assert sorted(in_turn(addresses, families)) == sorted(addresses)
