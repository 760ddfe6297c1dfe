"""`postroom route`: the ways of mail that leaves us, such as a smart host."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from kernel.model.address import parse_domain
from kernel.model.sending import EVERYTHING, Route, route_for
from postroom.client import Api, Item, auth, given
from postroom.errors import RefusedError
from postroom.resource import Resource
from postroom.settings import CommandSettings
from postroom.show import AsJson, plain, show_json
from postroom.values import NONE

app = App(name="route")

STDIN = Path("-")
OPTIONS = {"targets": "to", "rates": "rate"}
"""How options are called here whose fields have another name."""

NoneOr = Literal["none"]


def _spoken(route: Item) -> Item:
    """Return a route as a line of a table has it."""
    tls = "implicit" if route["implicit_tls"] else ""
    return {
        "pattern": route["pattern"],
        "to": route["targets"] or "as DNS says",
        "tls": " ".join(filter(None, (tls, route["tls"]))) or "as set",
        "login": route["login"],
        "limits": list(_limits(route)),
    }


def _limits(route: Item) -> Iterator[str]:
    if route["connections"]:
        yield f"{route['connections']} connections"
    if route["messages_per_connection"]:
        yield f"{route['messages_per_connection']} messages each"
    yield from route["rates"]
    if route["give_up_after"]:
        yield f"given up after {route['give_up_after']}"


COLUMNS = {"pattern": "PATTERN", "to": "TO", "tls": "TLS", "login": "LOGIN", "limits": "LIMITS"}
TABLE = Resource(("v1/routes",), COLUMNS, _spoken)
ROUTES = Resource(("v1/routes",), COLUMNS, lambda route: {"pattern": "", **route})


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set about a route. What is `none` is as delivery's settings have it."""

    to: list[str] | None = None
    """A server, HOST or HOST:PORT; once for each, the first one first. Without, DNS says where."""

    tls: Literal["none", "opportunistic", "required", "verified", "default"] | None = None
    """Whether it has to be TLS; `verified`: with a certificate that proves the server's name."""

    implicit_tls: bool | None = None
    """TLS from the first octet (port 465) instead of STARTTLS."""

    login: str | None = None
    """As whom to log in; empty for nobody. The password is asked for if it is not given."""

    password: str | None = None
    """Their password; for XOAUTH2 the token."""

    password_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None
    """A file with the password; `-` is the standard input."""

    mechanism: str | None = None
    """How to log in: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256 or XOAUTH2; empty: the best there is."""

    source: str | None = None
    """The address of this server to dial from; empty for any."""

    connections: int | NoneOr | None = None
    """Connections at a time, of all workers together."""

    messages_per_connection: int | NoneOr | None = None
    """Messages sent over one connection before it is closed."""

    rate: list[str] | None = None
    """How many messages may go, such as `60/minute`; may be given more than once."""

    retry: list[str] | None = None
    """A wait between attempts, such as `5m`; once for each, the last one repeats."""

    give_up_after: str | None = None
    """How long a message may wait before its sender gets it back, such as `2d`."""

    warn_after: str | None = None
    """After what time its sender is told that it waits, such as `4h`."""

    def changes(self) -> Item:
        """Return what the API is to change."""
        plain = given(
            targets=self.to,
            implicit_tls=self.implicit_tls,
            login=self.login,
            mechanism=self.mechanism,
            source=self.source,
            rates=self.rate,
            retry=self.retry,
        )
        nullable = given(
            connections=self.connections,
            messages_per_connection=self.messages_per_connection,
            give_up_after=self.give_up_after,
            warn_after=self.warn_after,
        )
        nullable = {name: None if value == NONE else value for name, value in nullable.items()}
        tls = {} if self.tls is None else {"tls": None if self.tls == "default" else self.tls}
        return plain | nullable | tls | given(password=self._password())

    def _password(self) -> str | None:
        if self.password is not None:
            return self.password
        if self.password_file == STDIN:
            return sys.stdin.readline().rstrip("\n")
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        return getpass(f"Password of {self.login}: ") if self._must_ask() else None

    def _must_ask(self) -> bool:
        return bool(self.login) and sys.stdin.isatty()


@app.command
async def add(
    pattern: str,
    *,
    before: str | None = None,
    settings: Settings | None = None,
    as_json: AsJson = False,
) -> None:
    """Add a route. Unless it is said where, it stands where every route counts.

    Parameters
    ----------
    pattern
        The domains it is for: `example.org`, `.example.org` for all below it, `[192.0.2.1]`, `*`.
    before
        The route that it shall stand before: of those that cover a domain, the first counts.
    settings
        What is to be.

    """
    changes = settings.changes() if settings else {}
    with _in_our_words():
        await TABLE.add({"pattern": pattern, **given(before=before), **changes}, as_json=as_json)
    _tell_of_waiting_mail(pattern, as_json=as_json)


@app.command(name="list")
async def list_(*, search: str = "", as_json: AsJson = False) -> None:
    """List the routes in their order: of those that cover a domain, the first counts.

    Parameters
    ----------
    search
        Only those with this in their pattern.

    """
    await TABLE.every(q=search, as_json=as_json)


@app.command
async def show(pattern: str, *, as_json: AsJson = False) -> None:
    """Show every setting of a route, but for its password."""
    await ROUTES.show(pattern, as_json=as_json)


@app.command(name="set")
async def set_(pattern: str, *, settings: Settings | None = None, as_json: AsJson = False) -> None:
    """Change settings of a route.

    Parameters
    ----------
    pattern
        The route.
    settings
        What is to be.

    """
    changes = settings.changes() if settings else {}
    with _in_our_words():
        await ROUTES.change(pattern, changes=changes, as_json=as_json)
    _tell_of_waiting_mail(pattern, as_json=as_json)


@app.command
async def move(
    pattern: str,
    *,
    before: str = "",
    last: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Put a route at another place.

    Parameters
    ----------
    pattern
        The route.
    before
        The one that it shall stand before.
    last
        Put it at the end; `*` still comes after it.

    """
    if bool(before) == last:
        raise ValueError("say where: --before PATTERN, or --last")
    async with auth() as api:
        await api.patch("v1/routes", pattern, body={"before": before})
    await TABLE.every(as_json=False)


@app.command
async def remove(pattern: str) -> None:
    """Remove a route: its mail takes the next one that covers it, or goes where DNS says."""
    await ROUTES.remove(pattern)
    _tell_of_waiting_mail(pattern, as_json=False)


@app.command(name="test")
async def try_(domain: str, *, as_json: AsJson = False) -> None:
    """Say which way the mail for a domain goes.

    Parameters
    ----------
    domain
        The domain, or an address in it.

    """
    name = parse_domain(domain.rpartition("@")[2])
    async with auth() as api:
        routes = await api.every("v1/routes")
        ours = await _is_ours(api, name)
    found = _way(name, [*routes, *_static()])
    if as_json:
        show_json({"domain": name, "ours": ours, "route": found})
        return
    print(_verdict(name, found, ours=ours))
    if found and not ours:
        for line in _details(found):
            print(line)


def _way(domain: str, routes: Sequence[Item]) -> Item | None:
    """Return the route that delivery takes: the first that covers ``domain``."""
    by_pattern = {route["pattern"]: route for route in reversed(routes)}
    found = route_for(domain, tuple(Route(route["pattern"]) for route in routes))
    return by_pattern[found.pattern] if found else None


def _static() -> Iterator[Item]:
    """Yield the routes of the settings, which come after all others."""
    for pattern, target in CommandSettings().routes.items():
        yield {"pattern": pattern.lower(), "targets": [target], "static": True}


async def _is_ours(api: Api, domain: str) -> bool:
    try:
        await api.get("v1/domains", domain)
    except RefusedError:
        return False
    return True


def _verdict(domain: str, route: Item | None, *, ours: bool) -> str:
    if ours:
        return f"{domain} is a domain of ours: its mail stays here"
    if route is None:
        return f"no route covers {domain}: its mail goes where DNS says"
    static = " (POSTROOM_ROUTES)" if route.get("static") else ""
    return f"mail for {domain} goes by the route {route['pattern']}{static}"


def _details(route: Item) -> Iterator[str]:
    yield f"to: {plain(route['targets'] or 'as DNS says')}"
    if not route.get("static"):
        spoken = _spoken(route)
        yield from (f"{name}: {plain(spoken[name])}" for name in ("tls", "login", "limits"))


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Name a field at fault as its option is called here."""
    try:
        yield
    except RefusedError as error:
        error.field = OPTIONS.get(error.field, error.field)
        raise


def _tell_of_waiting_mail(pattern: str, *, as_json: bool) -> None:
    if as_json:
        return
    which = "--all" if pattern == EVERYTHING or pattern.startswith(".") else f"--domain {pattern}"
    print(f"\nWaiting mail goes by it at its next attempt; at once: postroom queue retry {which}")
