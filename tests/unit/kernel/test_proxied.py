"""The PROXY protocol: who the client behind a balancer is."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.proxied import BadHeaderError, Balancers, Proxied, octets_wanted, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HELLO = b"EHLO client.test\r\n"


def v2(command, family, body):
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2) + body


def tcp(client, server, port=4711, extra=b""):
    ends = ip_address(client).packed + ip_address(server).packed
    family = 0x11 if "." in client else 0x21
    return v2(0x21, family, ends + port.to_bytes(2) + (25).to_bytes(2) + extra)


HEADERS = {
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n": ("203.0.113.9", 4711),
    b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 25\r\n": ("2001:db8::9", 4711),
    b"PROXY UNKNOWN\r\n": ("", 0),
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": ("", 0),
    tcp("203.0.113.9", "192.0.2.1"): ("203.0.113.9", 4711),
    tcp("2001:db8::9", "2001:db8::1"): ("2001:db8::9", 4711),
    tcp("203.0.113.9", "192.0.2.1", extra=b"\x04\x00\x03abc"): ("203.0.113.9", 4711),
    v2(0x20, 0x00, b""): ("", 0),
    v2(0x21, 0x31, b"/var/run/socket"): ("", 0),
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_names_the_client(header):
    assert read_header(header + HELLO) == Proxied(len(header), *HEADERS[header])


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_may_come_in_pieces(header):
    assert all(read_header(header[:cut]) is None for cut in range(len(header)))


@pytest.mark.parametrize("header", HEADERS)
def test_nothing_behind_the_header_is_read(header):
    """It may be the client's part of a TLS handshake, which is not ours to read."""
    stream, read = header + HELLO, b""
    while read_header(read) is None:
        wanted = octets_wanted(read)
        assert wanted > 0
        read = stream[: len(read) + wanted]

    assert read == header


@pytest.mark.parametrize(
    "octets",
    [
        HELLO,
        b"PROXY\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 99999x 25\r\n",
        b"PROXY TCP4 203.0.113.09 192.0.2.1 1 25\r\n",
        b"PROXY " + b"x" * 107,
        v2(0x22, 0x11, b""),
        v2(0x21, 0x11, b"short"),
        v2(0x21, 0x11, b"x" * 5000),
    ],
)
def test_nonsense_is_no_header(octets):
    with pytest.raises(BadHeaderError):
        read_header(octets)


@given(st.binary() | st.binary().map(lambda tail: SIGNATURE + tail))
def test_whatever_comes_is_a_header_or_not_yet_or_never(octets):
    try:
        found = read_header(octets)
    except BadHeaderError:
        return
    assert found is None or 0 < found.length <= len(octets)


def test_only_those_who_are_named_are_believed():
    assert "192.0.2.7" in Balancers(["192.0.2.0/24"])
    assert "192.0.3.7" not in Balancers(["192.0.2.0/24"])
    assert "192.0.2.7" not in Balancers([])
    assert "" not in Balancers(["0.0.0.0/0"])
