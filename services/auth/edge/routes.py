"""``/v1/routes``: the ways of mail that leaves us. The first route that covers a domain counts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.rate import Rate
from kernel.model.sending import Route, TlsPolicy
from services.auth.adapters import routes
from services.auth.core.routes import (
    MECHANISMS,
    BadPlaceError,
    BadRouteError,
    StoredRoute,
    default_port,
    fault,
    needs_password_again,
    parse_pattern,
    parse_target,
    placed,
)
from services.auth.desk import Caller, Desk
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import (
    Body,
    Containing,
    Flag,
    Item,
    Length,
    Number,
    Page,
    Rates,
    Wanted,
)
from services.auth.edge.problems import conflict, invalid, no_secret_key, not_found

KIND = "routes"

router = APIRouter(prefix="/v1/routes", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="The route's pattern.")]

_MOST = 1_000_000
_PLAIN = r"^[^\x00-\x1f\x7f]*$"
_EXTRAS = ("pattern", "password", "before", "targets", "rates")
"""What is sent of a route and is not kept as it was sent."""


def _target(text: str) -> str:
    parse_target(text)
    return text


def _mechanism(text: str) -> str:
    if text and text.upper() not in MECHANISMS:
        raise ValueError(f"{text!r} is none of {', '.join(MECHANISMS)}")
    return text.upper()


def _source(text: str) -> str:
    if not text:
        return text
    address = ip_address(text)
    if "%" in text or address.is_unspecified or address.is_multicast:
        raise ValueError(f"{text!r} is no address of this server")
    return str(address)


def _password(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(_PLAIN, secret.get_secret_value()):
        raise ValueError("a password has no control characters")
    return secret


def _place(text: str) -> str:
    return parse_pattern(text) if text else text


Pattern = Annotated[str, AfterValidator(parse_pattern), Field(max_length=256)]
Place = Annotated[str, AfterValidator(_place), Field(max_length=256)]
Server = Annotated[str, AfterValidator(_target), Field(max_length=300)]
Atmost = Annotated[Number | None, Field(ge=1, le=_MOST)]


class RouteFields(Body):
    """All that can be set about a route. What is null or empty is as delivery's settings say."""

    targets: tuple[Server, ...] = Field(
        default=(),
        max_length=10,
        description="The servers, tried in turn, as `HOST` or `HOST:PORT`; none: those that DNS "
        "names for the domain. The port is 25 if it is not said, with a login 587, with implicit "
        "TLS 465.",
    )
    tls: TlsPolicy | None = Field(
        default=None,
        description="`none`; `opportunistic`: where it is offered; `required`; or `verified`: the "
        "certificate proves the server's name, too.",
    )
    implicit_tls: Flag = Field(
        default=False, description="TLS from the first octet (RFC 8314), without STARTTLS."
    )
    login: str = Field(default="", max_length=255, pattern=_PLAIN, description="As whom to log in.")
    mechanism: Annotated[str, AfterValidator(_mechanism)] = Field(
        default="",
        description=f"How to log in: {', '.join(MECHANISMS)}; empty: the best that is offered.",
    )
    source: Annotated[str, AfterValidator(_source)] = Field(
        default="", description="The IP address of this server to dial from."
    )
    connections: Atmost = Field(
        default=None, description="Connections at a time, of all workers together."
    )
    messages_per_connection: Atmost = None
    rates: Rates = Field(
        default=(), description="How many messages may go, such as `60/minute`, of all workers."
    )
    retry: tuple[Length, ...] = Field(
        default=(),
        max_length=50,
        description="The waits between attempts, such as `5m`; the last one repeats.",
    )
    give_up_after: Length | None = Field(
        default=None, description="How long a message may wait before its sender gets it back."
    )
    warn_after: Length | None = Field(
        default=None, description="After what time its sender is told that it waits."
    )


class RouteChanges(RouteFields):
    """Changes to a route."""

    password: Annotated[SecretStr, AfterValidator(_password)] | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="The password of `login`; for XOAUTH2 the token. Kept sealed, never shown.",
    )
    before: Place | None = Field(
        default=None, description="The route that it shall stand before; empty: at the end."
    )


class NewRoute(RouteChanges):
    """A route to add. Unless `before` says where, it stands where every route counts."""

    pattern: Pattern = Field(
        description="What it is for: `example.org`, `.example.org` for all below it, "
        "`[192.0.2.1]`, or `*`."
    )


class RouteItem(RouteFields, Item):
    """A route."""

    pattern: str
    has_password: bool


@router.get("")
async def list_routes(
    _: Allowed, desk: AtDesk, wanted: Wanted, q: Containing = ""
) -> Page[RouteItem]:
    """List the routes in their order."""
    async with desk.database.reading() as db:
        found = await routes.page(db, wanted.limit + 1, wanted.after, q)
    return wanted.page([_item(stored) for stored in found], lambda item: item.pattern)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_route(who: Allowed, desk: AtDesk, tags: Made, new: NewRoute) -> RouteItem:
    """Add a route. Mail that waits takes it at its next attempt."""
    empty = StoredRoute(Route(new.pattern))
    stored = _changed(desk, empty, new.given())
    item = _item(stored)
    async with desk.changing(who) as change:
        order = await routes.order(change.db)
        if new.pattern in order:
            raise conflict(f"there is a route {new.pattern} already", "pattern")
        await routes.add(change.db, stored)
        await routes.arrange(change.db, _placed(order, new.pattern, new.before))
        change.note("added", KIND, new.pattern, after=item.shown())
    return tags.show_new(item, KIND, new.pattern)


@router.get("/{pattern}")
async def show_route(_: Allowed, desk: AtDesk, tags: Seen, pattern: Name) -> RouteItem:
    """Show a route."""
    async with desk.database.reading() as db:
        return tags.show(_item(await _known(db, pattern)))


@router.patch("/{pattern}")
async def change_route(
    who: Allowed, desk: AtDesk, tags: Held, pattern: Name, changes: RouteChanges
) -> RouteItem:
    """Change a route, or its place. Mail that waits takes it at its next attempt."""
    async with desk.changing(who) as change:
        before = await _known(change.db, pattern)
        was = _item(before)
        tags.expect(was)
        after = _changed(desk, before, changes.given())
        item = _item(after)
        await routes.change(change.db, after)
        moved = await _move(change.db, after.pattern, changes.before)
        told = moved | ({"password": "changed"} if after.sealed != before.sealed else {})
        change.note("changed", KIND, after.pattern, before=was.shown(), after=item.shown() | told)
    return tags.show(item)


@router.delete("/{pattern}", status_code=HTTPStatus.NO_CONTENT)
async def remove_route(who: Allowed, desk: AtDesk, tags: Held, pattern: Name) -> None:
    """Remove a route: its mail takes the next one that covers it, or goes where DNS says."""
    async with desk.changing(who) as change:
        stored = await _known(change.db, pattern)
        item = _item(stored)
        tags.expect(item)
        await routes.remove(change.db, stored.pattern)
        change.note("removed", KIND, stored.pattern, before=item.shown())


async def _known(db: AsyncConnection, text: str) -> StoredRoute:
    try:
        pattern = parse_pattern(text)
    except BadRouteError:
        raise not_found("route", text) from None
    stored = await routes.find(db, pattern)
    if stored is None:
        raise not_found("route", pattern)
    return stored


async def _move(db: AsyncConnection, pattern: str, before: str | None) -> dict[str, str]:
    """Put a route where it is to stand, and return what the audit log says of it."""
    if before is None or before == pattern:
        return {}
    order = _placed(await routes.order(db), pattern, before)
    await routes.arrange(db, order)
    return {"before": before}


def _placed(order: Sequence[str], pattern: str, before: str | None) -> tuple[str, ...]:
    try:
        return placed(order, pattern, before)
    except BadPlaceError as error:
        if error.is_known:
            raise conflict(str(error), "before") from None
        raise invalid("before", str(error)) from None


def _changed(desk: Desk, stored: StoredRoute, given: Mapping[str, Any]) -> StoredRoute:
    """Return the route with what is ``given``, or say which of it will not do."""
    before = stored.route
    route = replace(before, **{name: given[name] for name in given if name not in _EXTRAS})
    if "rates" in given:
        route = replace(route, rates=tuple(map(Rate.parse, given["rates"])))
    if "targets" in given:
        port = default_port(route)
        route = replace(route, targets=tuple(parse_target(t, port) for t in given["targets"]))
    sealed = _sealed(desk, stored, route, given)
    if found := fault(route, has_password=bool(sealed)):
        raise invalid(*found)
    return StoredRoute(route, sealed)


def _sealed(desk: Desk, stored: StoredRoute, route: Route, given: Mapping[str, Any]) -> str:
    """Return the password that ``route`` has from now on, sealed."""
    password = given.get("password")
    if password is not None:
        if desk.seal is None:
            raise no_secret_key("password")
        return routes.sealed_password(desk.seal, route.pattern, password.get_secret_value())
    if "password" in given or not route.login:
        return ""
    if stored.sealed and needs_password_again(stored.route, route):
        raise invalid("password", "a new server or login has to be given the password again")
    return stored.sealed


def _item(stored: StoredRoute) -> RouteItem:
    route = stored.route
    return RouteItem.model_construct(
        pattern=route.pattern,
        has_password=bool(stored.sealed),
        targets=tuple(map(str, route.targets)),
        tls=route.tls,
        implicit_tls=route.implicit_tls,
        login=route.login,
        mechanism=route.mechanism,
        source=route.source,
        connections=route.connections,
        messages_per_connection=route.messages_per_connection,
        rates=tuple(map(str, route.rates)),
        retry=route.retry,
        give_up_after=route.give_up_after,
        warn_after=route.warn_after,
    )
