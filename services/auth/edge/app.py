"""The application: bare routes for other services first, FastAPI for everybody else."""

from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kernel.problems import tell_problems
from services.auth.desk import Desk
from services.auth.edge import (
    aliases,
    api_keys,
    app_passwords,
    audit,
    dkim,
    dns,
    domains,
    explaining,
    grants,
    listeners,
    lists,
    lockouts,
    logins,
    networks,
    routes,
    users,
    whoami,
)
from services.auth.edge.credentials import AnyCaller
from services.auth.edge.description import DESCRIPTION, described
from services.auth.edge.etags import tell_not_modified
from services.auth.edge.internal import internal_routes
from services.auth.edge.problems import TROUBLES, refuse_nonsense

LONGEST_BODY = 524_288  # octets

ROUTERS = [
    domains.router,
    dkim.router,
    dns.router,
    routes.router,
    app_passwords.router,
    users.router,
    whoami.router,
    aliases.router,
    networks.router,
    listeners.router,
    lists.router,
    grants.router,
    logins.router,
    explaining.router,
    lockouts.router,
    api_keys.router,
    audit.router,
]


def application(desk: Desk) -> Router:
    """Return what answers HTTP for ``desk``."""
    return Router(internal_routes(desk), redirect_slashes=False, default=bounded(rest_api(desk)))


def bounded(app: ASGIApp) -> ASGIApp:
    """Return ``app``, giving up on overlong bodies, which it reads before it knows who calls."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        left = LONGEST_BODY

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long")
            return message

        await app(scope, receive_some, send)

    return limited


def rest_api(desk: Desk) -> FastAPI:
    """Return the REST API. Its description is shown to whoever has a credential."""
    app = FastAPI(
        title="Postroom: auth",
        summary="Who may do what.",
        description=DESCRIPTION,
        version="1",
        openapi_url=None,
        dependencies=[Depends(refuse_nonsense)],
    )
    app.state.desk = desk
    tell_problems(app, TROUBLES)
    tell_not_modified(app)
    for router in ROUTERS:
        app.include_router(router)

    @app.get("/healthz", tags=["health"])
    async def alive() -> dict[str, bool]:
        """Say that the service lives."""
        return {"alive": True}

    @app.get("/openapi.json", include_in_schema=False)
    async def description(_: AnyCaller) -> dict[str, Any]:
        return described(app, ROUTERS)

    return app
