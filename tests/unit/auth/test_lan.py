"""Networks as administrators write them, and who is in them."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.lan import (
    BadNetworkError,
    Networks,
    neighbourhood,
    parse_client,
    parse_network,
    trusted_network,
)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("192.168.1.*", "192.168.1.0/24"),
        ("172.16.*.*", "172.16.0.0/16"),
        ("10.*.*.*", "10.0.0.0/8"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        (" 192.0.2.7 ", "192.0.2.7/32"),
    ],
)
def test_networks_can_be_written_in_several_ways(text, network):
    assert parse_network(text) == ip_network(network)
    assert trusted_network(text) == ip_network(network)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "192.0.2", "192.0.2.0/33", "192.*.2.*", "*.0.2.1", "300.1.1.*", "192.168.*"],
)
def test_what_is_no_network_is_refused(text):
    with pytest.raises(BadNetworkError, match="is no network"):
        parse_network(text)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "*.*.*.*", "::/0", "::ffff:0:0/96", "1.2.3.4/0"])
def test_everybody_is_no_lan(text):
    with pytest.raises(BadNetworkError, match="everybody"):
        trusted_network(text)


@pytest.mark.parametrize("text", ["0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/7", "8000::/1", "2000::/3"])
def test_half_of_everybody_is_no_lan_either(text):
    with pytest.raises(BadNetworkError, match="wider than any private network"):
        trusted_network(text)


def test_a_client_is_in_a_network_or_not():
    lan = Networks.of(["192.168.1.*", "fd00::/8", "!192.168.1.66"])

    assert parse_client("192.168.1.5") in lan
    assert parse_client("fd00::5") in lan
    assert parse_client("192.168.1.66") not in lan
    assert parse_client("192.168.2.5") not in lan
    assert parse_client("2001:db8::1") not in lan


CLIENTS = st.ip_addresses(network="10.0.0.0/28") | st.ip_addresses(network="2001:db8::/124")
NETWORKS = st.builds(
    lambda client, rest: ip_network((client, client.max_prefixlen - rest), strict=False),
    CLIENTS,
    st.integers(0, 5),
)


@given(st.lists(NETWORKS, max_size=5), st.lists(NETWORKS, max_size=3), CLIENTS)
def test_many_networks_hold_what_one_after_the_other_does(wanted, unwanted, client):
    is_in = any(client in network for network in wanted)
    is_out = any(client in network for network in unwanted)

    assert (client in Networks(tuple(wanted), tuple(unwanted))) is (is_in and not is_out)


def test_an_ipv4_client_on_a_dual_stack_socket_is_the_same_client():
    assert parse_client("::ffff:192.168.1.5") == parse_client("192.168.1.5")


def test_the_scope_of_a_link_local_address_does_not_matter():
    assert parse_client("fe80::1%eth0") == parse_client("fe80::1")


def test_what_is_no_address_is_in_no_network():
    assert parse_client("unknown") is None
    assert None not in Networks.of(["127.0.0.0/8"])


def test_the_addresses_that_one_client_can_take_are_one_neighbourhood():
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("192.0.2.1") == neighbourhood("::ffff:192.0.2.1")
    assert neighbourhood("nonsense") == "nonsense"
