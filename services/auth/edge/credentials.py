"""Credentials: HTTP Basic with a user's login and password, or the service token as bearer."""

import base64
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Depends, Request

from kernel.http import shows_token
from kernel.model.questions import LoginQuestion, LoginVerdict
from services.auth.desk import Caller, Desk
from services.auth.edge.problems import ProblemError

CHALLENGE = {"WWW-Authenticate": 'Basic realm="postroom", charset="UTF-8"'}
SERVICE = Caller("", administrator=True)


def desk_of(request: Request) -> Desk:
    """Return the desk that the application was built with."""
    return cast("Desk", request.app.state.desk)


AtDesk = Annotated[Desk, Depends(desk_of)]


async def caller(request: Request, desk: AtDesk) -> Caller:
    """Return whose credential the request shows."""
    header = request.headers.get("Authorization")
    if shows_token(header, desk.token):
        return SERVICE
    login, password = _basic(header)
    client = request.client.host if request.client else ""
    question = LoginQuestion("api", "", client, "BASIC", login, password)
    answer = await desk.logins.attempt(question)
    if answer.verdict is LoginVerdict.LOCKED:
        raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too many failed logins: wait a while")
    if answer.verdict is LoginVerdict.REFUSED:
        raise _unauthorized("login or password is wrong")
    return Caller(answer.login, answer.administrator, client)


async def administrator(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Return the caller, who must be an administrator or another service."""
    if not who.administrator:
        raise ProblemError(HTTPStatus.FORBIDDEN, "only administrators may do this")
    return who


def may(resource: str) -> object:
    """Return the dependency that lets in who may look at ``resource``, or change it.

    Which of both it is, the method of the request says.
    """
    del resource  # administrators may do everything
    return Depends(administrator)


AnyCaller = Annotated[Caller, Depends(caller)]
Administrator = Annotated[Caller, Depends(administrator)]


def _basic(header: str | None) -> tuple[str, str]:
    """Return login and password (RFC 7617)."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise _unauthorized("show a credential")
    try:
        login, colon, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:  # not ASCII, not base64, or not UTF-8
        raise _unauthorized("the credential is malformed") from None
    if not colon:
        raise _unauthorized("the credential is malformed")
    return login, password


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers=CHALLENGE)
