"""The description of the API (OpenAPI): who may call what, and which problems may be answered."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from kernel.problems import describe_problems
from services.auth.core.scopes import SCOPES
from services.auth.edge.credentials import Permission

DESCRIPTION = f"""Who may do what at a Postroom server.

Show an administrator's login and password as HTTP Basic, or an API key as bearer
(`Authorization: Bearer prk_...`). An API key may do what its scopes say:
{", ".join(f"`{scope}`" for scope in SCOPES)}; `write` implies `read`. Users without
privileges may look at `/v1/whoami` and change what is theirs there.

A change takes effect within a second, everywhere. Every single item comes with an
`ETag`; a change with `If-Match` is made only if nobody was faster.
Lists come in pages: give `next` as `after` for what follows.
Errors are `application/problem+json`; `field` names the field at fault."""

_BASIC: dict[str, list[str]] = {"basic": []}
_SERVICE: dict[str, list[str]] = {"service": []}
_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "A user's login and password."},
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "prk_<id>_<secret>",
        "description": "An API key. Each operation names the scope that it takes.",
    },
    "service": {"type": "http", "scheme": "bearer", "description": "The service token."},
}


def described(app: FastAPI, routers: Iterable[APIRouter]) -> dict[str, Any]:
    """Return the OpenAPI description of ``app``, which serves ``routers``."""
    document = app.openapi()
    describe_problems(document)
    document["components"]["securitySchemes"] = _SCHEMES
    for route in _routes(routers):
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["security"] = _credentials(route.dependant, method)
            if any(part["name"] == "if-none-match" for part in operation.get("parameters", ())):
                operation["responses"]["304"] = {"description": "You have seen it."}
    return document


def _routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        yield from (route for route in router.routes if isinstance(route, APIRoute))


def _credentials(dependant: Dependant, method: str) -> list[dict[str, list[str]]]:
    """Return the credentials that open a route; OpenAPI 3.1 lets any of them name scopes."""
    for needed in dependant.dependencies:
        if isinstance(needed.call, Permission):
            return [_BASIC, {"key": [needed.call.scope(method)]}, _SERVICE]
    return [_BASIC]
