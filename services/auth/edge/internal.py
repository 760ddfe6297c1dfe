"""``/internal``: what other services ask, many times a second, with the service token.

Bare routes and msgspec: `kernel.model.questions` lists them. A question that
cannot be answered now gets a 503, which is no answer; nobody is refused for it.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel import wire
from kernel.http import shows_token
from kernel.model.address import Address
from kernel.model.questions import (
    AdmissionQuestion,
    GreylistQuestion,
    LoginQuestion,
    RelayQuestion,
)
from services.auth.desk import Desk
from services.auth.edge.problems import problem_response
from services.auth.grants import admit_login
from services.auth.ports import DirectoryUnavailableError, PasswordsBusyError
from services.auth.relaying import UnknownListenerError

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


def internal_routes(desk: Desk) -> list[Route]:
    """Return the routes, which work at ``desk``."""

    async def listener(request: Request) -> Response:
        return _answer(await desk.relaying.listener(request.path_params["name"]))

    async def sending(_: Request) -> Response:
        return _answer(await desk.sending.answer())

    answers = {
        "/internal/relay": _asked(list[RelayQuestion], desk.relaying.answer),
        "/internal/whereabouts": _asked(list[Address], desk.relaying.whereabouts),
        "/internal/login": _asked(LoginQuestion, partial(admit_login, desk)),
        "/internal/admission": _asked(AdmissionQuestion, desk.relaying.admit),
        "/internal/greylist": _asked(GreylistQuestion, desk.greylisting.answer),
    }
    posts = [
        Route(path, _guarded(answer, desk.token), methods=["POST"])
        for path, answer in answers.items()
    ]
    gets = {"/internal/listeners/{name}": listener, "/internal/sending": sending}
    return [*posts, *(Route(path, _guarded(shown, desk.token)) for path, shown in gets.items())]


def _asked(kind: type[T], answer: Callable[[T], Awaitable[object]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            question = wire.from_json(await request.body(), kind)
        except ValueError as error:
            return problem_response(HTTPStatus.BAD_REQUEST, str(error))
        return _answer(await answer(question))

    return endpoint


def _guarded(endpoint: Endpoint, token: str) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if not shows_token(request.headers.get("authorization"), token):
            return problem_response(HTTPStatus.UNAUTHORIZED, "show the service token")
        try:
            return await endpoint(request)
        except DirectoryUnavailableError as error:
            return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except UnknownListenerError as error:
            return problem_response(HTTPStatus.NOT_FOUND, str(error))
        except PasswordsBusyError:
            return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many logins at once")

    return guarded


def _answer(value: object) -> Response:
    return Response(wire.to_json(value), media_type="application/json")
