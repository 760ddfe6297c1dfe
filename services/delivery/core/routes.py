"""Static routes: which domains go to a fixed host instead of where DNS says."""

from collections.abc import Mapping
from dataclasses import dataclass

EVERYTHING = "*"


class BadRouteError(ValueError):
    """The route names no ``HOST:PORT``."""


@dataclass(frozen=True, slots=True)
class Host:
    """A server to talk to: its name, the address to dial, and the port."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        shown = self.name if self.name == self.address else f"{self.name}[{self.address}]"
        return f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """Mail for domains like ``pattern`` goes to ``host``.

    A pattern is a domain, ``.suffix`` for every domain below it, or ``*``.
    """

    pattern: str
    host: Host

    def covers(self, domain: str) -> bool:
        """Return whether this route is for ``domain``."""
        if self.pattern.startswith("."):
            return domain.endswith(self.pattern)
        return self.pattern in (EVERYTHING, domain)


def parse_routes(table: Mapping[str, str]) -> tuple[Route, ...]:
    """Return the routes of ``{pattern: "host:port"}``, in order, or raise `BadRouteError`."""
    return tuple(Route(pattern.lower(), _parse_host(target)) for pattern, target in table.items())


def host_for(domain: str, routes: tuple[Route, ...]) -> Host | None:
    """Return the host of the first route that covers ``domain``."""
    return next((route.host for route in routes if route.covers(domain)), None)


def _parse_host(target: str) -> Host:
    name, _, port = target.rpartition(":")
    if not name or not port.isdigit():
        raise BadRouteError(f"{target!r} is not HOST:PORT")
    return Host(name.strip("[]"), name.strip("[]"), int(port))
