"""Static routes: which domains go to a fixed host instead of where DNS says."""

from collections.abc import Mapping
from dataclasses import dataclass

from kernel.model.sending import Route, Target


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


def parse_routes(table: Mapping[str, str]) -> tuple[Route, ...]:
    """Return the routes of ``{pattern: "host:port"}``, in order, or raise `BadRouteError`."""
    return tuple(
        Route(pattern.lower(), (_parse_target(target),)) for pattern, target in table.items()
    )


def hosts_of(route: Route) -> tuple[Host, ...]:
    """Return the hosts that ``route`` names, primary first."""
    return tuple(Host(target.host, target.host, target.port) for target in route.targets)


def _parse_target(text: str) -> Target:
    name, _, port = text.rpartition(":")
    if not name or not port.isdigit():
        raise BadRouteError(f"{text!r} is not HOST:PORT")
    return Target(name.strip("[]"), int(port))
