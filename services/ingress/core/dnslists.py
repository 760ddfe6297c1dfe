"""DNS lists: whom others have listed, and what we ask for that (RFC 5782)."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

_LISTED = IPv4Network("127.0.0.0/8")  # §2.1
_TROUBLE = IPv4Network("127.255.255.0/24")
"""What the large lists answer when they will not tell: too many questions, an open resolver."""


@dataclass(frozen=True, slots=True)
class DnsList:
    """A zone, and the answers that count: ``zen.example`` or ``zen.example=127.0.0.2/31``."""

    zone: str
    counts: IPv4Network = _LISTED

    @classmethod
    def parse(cls, text: str) -> "DnsList":
        """Return the list that ``text`` names. Raises `ValueError`."""
        zone, equals, counts = text.partition("=")
        network = ip_network(counts) if equals else _LISTED
        if not zone or not isinstance(network, IPv4Network):
            raise ValueError(f"not a DNS list: {text!r}")
        return cls(zone.strip(".").lower(), network)

    def name_for(self, client: str) -> str:
        """Return the name to ask for (§2.1; §2.4 for IPv6)."""
        reverse = ip_address(client).reverse_pointer
        return f"{reverse.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{self.zone}"

    def is_hit(self, answers: Iterable[str]) -> bool:
        """Return whether these addresses say that the client is listed."""
        found = [IPv4Address(answer) for answer in answers]
        return any(answer in self.counts and answer not in _TROUBLE for answer in found)
