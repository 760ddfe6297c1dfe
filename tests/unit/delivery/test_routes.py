import pytest

from kernel.model.sending import route_for
from services.delivery.core.routes import BadRouteError, Host, hosts_of, parse_routes

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
    (host,) = hosts_of(route_for(domain, ROUTES))

    assert host.address == address


def test_a_domain_without_a_route_has_none():
    assert route_for("elsewhere.test", ROUTES[:3]) is None


def test_order_counts_and_not_precision():
    routes = parse_routes({"*": "a.test:1", "example.org": "b.test:2"})

    assert hosts_of(route_for("example.org", routes)) == (Host("a.test", "a.test", 1),)


@pytest.mark.parametrize("target", ["a.test", "a.test:", ":25", "a.test:smtp", ""])
def test_a_route_without_host_and_port_is_refused(target):
    with pytest.raises(BadRouteError):
        parse_routes({"*": target})


def test_patterns_are_compared_without_case():
    assert route_for("example.org", parse_routes({"Example.ORG": "a.test:1"}))


def test_a_host_is_shown_with_its_address():
    assert str(Host("mx.test", "192.0.2.1", 25)) == "mx.test[192.0.2.1]:25"
    assert str(Host("192.0.2.1", "192.0.2.1", 25)) == "192.0.2.1:25"
