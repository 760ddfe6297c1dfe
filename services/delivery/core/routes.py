"""Static routes: which domains go to a fixed host instead of where DNS says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, groupby, zip_longest

from kernel.model.sending import Route, Target
from services.delivery.core.dane import Dane


class Family(StrEnum):
    """A kind of address."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @classmethod
    def of(cls, address: str) -> "Family":
        """Return the family of ``address``."""
        return cls.IPV6 if ":" in address else cls.IPV4


class BadRouteError(ValueError):
    """The route names no ``HOST:PORT``."""


@dataclass(frozen=True, slots=True)
class Host:
    """A server to talk to: its name, the address to dial, and the port.

    ``dane`` is what signed DNS says of its certificate. ``secured`` is how a conversation with
    it was kept secret, once there was one.
    """

    name: str
    address: str
    port: int
    dane: Dane | None = None
    secured: str = ""

    @property
    def server_name(self) -> str | None:
        """The name that we ask for in the handshake (RFC 7672 §8.1); a literal has none."""
        if self.name.startswith("["):
            return None
        return self.dane.base if self.dane else self.name

    def __str__(self) -> str:
        shown = self.name if self.name == self.address else f"{self.name}[{self.address}]"
        return f"{shown}:{self.port}" + (f", {self.secured}" if self.secured else "")


def parse_routes(table: Mapping[str, str]) -> tuple[Route, ...]:
    """Return the routes of ``{pattern: "host:port"}``, in order, or raise `BadRouteError`."""
    return tuple(
        Route(pattern.lower(), (_parse_target(target),)) for pattern, target in table.items()
    )


def by_server(hosts: Sequence[Host]) -> list[tuple[Host, ...]]:
    """Return the addresses of each server, the servers in their order."""
    groups = groupby(hosts, key=lambda host: (host.name, host.port))
    return [tuple(addresses) for _, addresses in groups]


def in_turn(addresses: Sequence[str], families: Sequence[Family]) -> tuple[str, ...]:
    """Return addresses in the order to dial them: families by turns (RFC 8305 §4).

    ``families`` are those that are used, the preferred one first.
    """
    rows = ([a for a in addresses if Family.of(a) is family] for family in families)
    return tuple(a for a in chain.from_iterable(zip_longest(*rows)) if a is not None)


def _parse_target(text: str) -> Target:
    name, _, port = text.rpartition(":")
    if not name or not port.isdigit():
        raise BadRouteError(f"{text!r} is not HOST:PORT")
    return Target(name.strip("[]"), int(port))
