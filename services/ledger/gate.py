"""The gate before the REST API: who may look, and how errors are told (RFC 9457)."""

import base64
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kernel.bus.port import BusUnavailableError
from kernel.http import PeerUnavailableError, shows_token
from kernel.model.questions import LoginAnswer, LoginVerdict
from services.ledger.adapters.doorkeeper import Doorkeeper
from services.ledger.ports import StoreUnavailableError

HEALTH = "/healthz"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="postroom", charset="UTF-8"'}
_PLACES = {"body", "query", "path", "header"}


def guard(app: FastAPI, token: str, doorkeeper: Doorkeeper) -> None:
    """Let administrators and services in, and nobody else; health is open to all."""

    @app.middleware("http")
    async def only_ours(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if request.url.path == HEALTH:
            return await answer(request)
        return await _refusal(request, token, doorkeeper) or await answer(request)


async def _refusal(request: Request, token: str, doorkeeper: Doorkeeper) -> Response | None:
    """Return the answer to who may not look; ``None`` for administrators and services."""
    header = request.headers.get("Authorization")
    if shows_token(header, token):
        return None
    credential = _basic(header)
    if credential is None:
        return _problem(HTTPStatus.UNAUTHORIZED, "show a credential", headers=CHALLENGE)
    client = request.client.host if request.client else ""
    try:
        return _verdict(await doorkeeper.ask(client, *credential))
    except PeerUnavailableError:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "auth does not answer")


def _verdict(answer: LoginAnswer) -> Response | None:
    match answer.verdict:
        case LoginVerdict.LOCKED:
            detail = "too many failed logins: wait a while"
            return _problem(HTTPStatus.TOO_MANY_REQUESTS, detail)
        case LoginVerdict.REFUSED | LoginVerdict.CONTINUE:
            detail = "login or password is wrong"
            return _problem(HTTPStatus.UNAUTHORIZED, detail, headers=CHALLENGE)
        case LoginVerdict.GRANTED if not answer.administrator:
            return _problem(HTTPStatus.FORBIDDEN, "only administrators may do this")
        case LoginVerdict.GRANTED:
            return None


def _basic(header: str | None) -> tuple[str, str] | None:
    """Return login and password (RFC 7617); ``None`` if there are none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, colon, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:  # not ASCII, not base64, or not UTF-8
        return None
    return (login, password) if colon else None


def tell_problems(app: FastAPI) -> None:
    """Let ``app`` answer every error as a problem."""

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return _problem(HTTPStatus(error.status_code), str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"] if step not in _PLACES)
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, first["msg"], field)

    @app.exception_handler(StoreUnavailableError)
    async def no_database(_: Request, __: StoreUnavailableError) -> Response:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer")

    @app.exception_handler(BusUnavailableError)
    async def no_bus(_: Request, __: BusUnavailableError) -> Response:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the bus does not answer")


def _problem(
    status: HTTPStatus, detail: str, field: str = "", headers: dict[str, str] | None = None
) -> Response:
    """Return an error as RFC 9457 has it."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if field:
        body["field"] = field
    return JSONResponse(body, status, headers, media_type="application/problem+json")
