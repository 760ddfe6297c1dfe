"""The application: bare routes for other services first, FastAPI for everybody else."""

from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.desk import Desk
from services.auth.edge import aliases, domains, explaining, listeners, networks, users
from services.auth.edge.credentials import Administrator
from services.auth.edge.internal import internal_routes
from services.auth.edge.problems import ProblemError, refuse_nul, tell_problems

DESCRIPTION = """Domains, users, aliases, networks and listeners of a Postroom server.

Show an administrator's login and password as HTTP Basic. Errors are
`application/problem+json`; `field` names the field at fault."""

LONGEST_BODY = 524_288  # octets

_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "An administrator's login."},
    "service": {"type": "http", "scheme": "bearer", "description": "The service token."},
}


def application(desk: Desk) -> Router:
    """Return what answers HTTP for ``desk``."""
    return Router([*internal_routes(desk), Mount("/", bounded(rest_api(desk)))])


def bounded(app: ASGIApp) -> ASGIApp:
    """Return ``app``, giving up on overlong bodies, which it reads before it knows who calls."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        left = LONGEST_BODY

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long")
            return message

        await app(scope, receive_some, send)

    return limited


def rest_api(desk: Desk) -> FastAPI:
    """Return the REST API. Its description is shown to administrators alone."""
    app = FastAPI(
        title="Postroom: auth",
        summary="Who may do what.",
        description=DESCRIPTION,
        version="1",
        openapi_url=None,
        dependencies=[Depends(refuse_nul)],
    )
    app.state.desk = desk
    tell_problems(app)
    for resource in (domains, users, aliases, networks, listeners, explaining):
        app.include_router(resource.router)

    @app.get("/healthz", tags=["health"])
    async def alive() -> dict[str, bool]:
        """Say that the service lives."""
        return {"alive": True}

    @app.get("/openapi.json", include_in_schema=False)
    async def description(_: Administrator) -> dict[str, Any]:
        return described(app)

    return app


def described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of ``app``, with the credentials that it takes."""
    document = app.openapi()
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    document["security"] = [{name: []} for name in _SCHEMES]
    return document
