"""The PROXY protocol, versions 1 and 2: a balancer's word on who its client is.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Only whom we trust may say
it: a stranger's header would open the relay to the world.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_V1 = b"PROXY "
_V1_LONGEST = 107  # §2.1, with the CRLF
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
_SHORTEST = 15  # of both: PROXY UNKNOWN, with the CRLF
_V2_LONGEST = 4_096  # TLVs may follow the addresses; no balancer sends more
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_TCP4, _TCP6 = 0x11, 0x21  # family and protocol
_FAMILIES = {"TCP4": IPv4Address, "TCP6": IPv6Address}
_LONGEST_PORT = 5


class BadHeaderError(ValueError):
    """What came first is no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """A header of so many octets; ``client`` is empty where the balancer speaks for itself."""

    length: int
    client: str = ""
    port: int = 0


class Balancers:
    """Those whose word on their clients counts, as networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def __contains__(self, peer: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def read_header(octets: bytes) -> Proxied | None:
    """Return the header that ``octets`` begin with; ``None`` as long as it is not complete.

    Raises `BadHeaderError`: the connection is then to be dropped without a word (§2).
    """
    if octets.startswith(_V2):
        return _read_v2(octets)
    if octets.startswith(_V1):
        return _read_v1(octets)
    if _V2.startswith(octets) or _V1.startswith(octets):
        return None
    raise BadHeaderError("neither version 1 nor version 2")


def octets_wanted(octets: bytes) -> int:
    """Return how many octets to read next, so that nothing behind the header is read."""
    if len(octets) < _SHORTEST:
        return _SHORTEST - len(octets)
    if octets.startswith(_V1) or len(octets) < _V2_FIXED:
        return 1
    return _V2_FIXED + int.from_bytes(octets[14:16]) - len(octets)


def _read_v1(octets: bytes) -> Proxied | None:
    line, end, _ = octets[:_V1_LONGEST].partition(b"\r\n")
    if not end:
        if len(octets) >= _V1_LONGEST:
            raise BadHeaderError("the line has no end")
        return None
    length = len(line) + len(end)
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Proxied(length)
    try:
        family, client, server, port, their_port = words[1:]
        parse = _FAMILIES[family]
        parse(server), _port(their_port)
        return Proxied(length, str(parse(client)), _port(port))
    except (KeyError, ValueError) as error:
        raise BadHeaderError(f"version 1: {error}") from error


def _read_v2(octets: bytes) -> Proxied | None:
    if len(octets) < _V2_FIXED:
        return None
    command, family = octets[12], octets[13]
    size = int.from_bytes(octets[14:16])
    length = _V2_FIXED + size
    if command not in (_LOCAL, _PROXY) or length > _V2_LONGEST:
        raise BadHeaderError(f"version 2: command {command:#x}, {size} octets")
    if len(octets) < length:
        return None
    if command == _LOCAL:
        return Proxied(length)
    width = {_TCP4: 4, _TCP6: 16}.get(family)
    if width is None:
        return Proxied(length)  # §2.2: what it does not tell, the socket does
    if size < 2 * width + 4:
        raise BadHeaderError("version 2: the addresses are cut short")
    body = octets[_V2_FIXED:length]
    return Proxied(length, str(ip_address(body[:width])), int.from_bytes(body[2 * width :][:2]))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_PORT):
        raise ValueError(f"no port: {text!r}")
    return int(text)
