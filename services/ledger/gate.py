"""The gate before the REST API: who may look, and what its troubles mean."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from kernel.bus.port import BusUnavailableError
from kernel.http import PeerUnavailableError, basic_credential, shows_token
from kernel.model.questions import LoginAnswer, LoginVerdict
from kernel.problems import Troubles, problem_response
from services.ledger.adapters.doorkeeper import Doorkeeper
from services.ledger.ports import StoreUnavailableError

HEALTH = "/healthz"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="postroom", charset="UTF-8"'}
TROUBLES: Troubles = {
    StoreUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer"),
    BusUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "the bus does not answer"),
}


def guard(app: FastAPI, token: str, doorkeeper: Doorkeeper) -> None:
    """Let administrators and services in, and nobody else; health is open to all."""

    @app.middleware("http")
    async def only_ours(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if request.scope["path"] == HEALTH:
            return await answer(request)
        return await _refusal(request, token, doorkeeper) or await answer(request)


async def _refusal(request: Request, token: str, doorkeeper: Doorkeeper) -> Response | None:
    """Return the answer to who may not look; ``None`` for administrators and services."""
    header = request.headers.get("Authorization")
    if shows_token(header, token):
        return None
    credential = basic_credential(header)
    if credential is None:
        return problem_response(HTTPStatus.UNAUTHORIZED, "show a credential", headers=CHALLENGE)
    client = request.client.host if request.client else ""
    try:
        return _verdict(await doorkeeper.ask(client, *credential))
    except PeerUnavailableError:
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "auth does not answer")


def _verdict(answer: LoginAnswer) -> Response | None:
    match answer.verdict:
        case LoginVerdict.LOCKED:
            detail = "too many failed logins: wait a while"
            return problem_response(HTTPStatus.TOO_MANY_REQUESTS, detail)
        case LoginVerdict.REFUSED | LoginVerdict.CONTINUE:
            detail = "login or password is wrong"
            return problem_response(HTTPStatus.UNAUTHORIZED, detail, headers=CHALLENGE)
        case LoginVerdict.GRANTED if not answer.administrator:
            return problem_response(HTTPStatus.FORBIDDEN, "only administrators may do this")
        case LoginVerdict.GRANTED:
            return None
