"""Credentials: a user's login and password, an API key, or the service token."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from kernel.http import SERVICE_SCHEME, basic_credential, shows_token
from kernel.model.questions import LoginQuestion, LoginVerdict
from services.auth.core.scopes import EVERYTHING, scope_of
from services.auth.desk import Caller, Desk
from services.auth.edge.problems import ProblemError

CHALLENGE = {"WWW-Authenticate": 'Basic realm="postroom", charset="UTF-8"'}
ALL = frozenset({EVERYTHING})


def desk_of(request: Request) -> Desk:
    """Return the desk that the application was built with."""
    return cast("Desk", request.app.state.desk)


AtDesk = Annotated[Desk, Depends(desk_of)]


async def caller(request: Request, desk: AtDesk) -> Caller:
    """Return whose credential the request shows, and from where."""
    header = request.headers.get("Authorization")
    client = request.client.host if request.client else ""
    if shows_token(header, desk.token):
        return Caller(client=client, scopes=ALL)
    if (basic := basic_credential(header)) is not None:
        return await log_in(desk, client, *basic)
    scheme, _, key = (header or "").partition(" ")
    if scheme.lower() == SERVICE_SCHEME.lower():
        return await _holder(desk, client, key.strip())
    raise _unauthorized("show a credential")


async def log_in(desk: Desk, client: str, login: str, password: str) -> Caller:
    """Return the user of this name, whose password it must be."""
    question = LoginQuestion("api", "", client, "BASIC", login, password)
    answer = await desk.logins.attempt(question)
    if answer.verdict is LoginVerdict.LOCKED:
        raise too_many_failures()
    if answer.verdict is not LoginVerdict.GRANTED:
        raise _unauthorized("login or password is wrong")
    return Caller(answer.login, client, ALL if answer.administrator else frozenset())


async def _holder(desk: Desk, client: str, shown: str) -> Caller:
    """Return the API key that is ``shown``; a wrong one counts against its client's address."""
    if await desk.logins.is_locked_out(client):
        raise too_many_failures()
    key = await desk.keys.holder(shown)
    if key is None:
        await desk.logins.note_failure(client)
        raise _unauthorized("there is no such API key")
    return Caller(client=client, scopes=key.scopes, key=key.id)


@dataclass(frozen=True, slots=True)
class Permission:
    """Lets in who may look at a resource, or change it: the request's method says which."""

    resource: str

    def scope(self, method: str) -> str:
        """Return the scope that ``method`` takes."""
        return scope_of(self.resource, writing=method.upper() not in {"GET", "HEAD"})

    async def __call__(self, request: Request, who: Annotated[Caller, Depends(caller)]) -> Caller:
        """Return the caller, who may."""
        scope = self.scope(request.method)
        if not who.may(scope):
            lacking = f"this key lacks the scope {scope}" if who.key else "administrators alone may"
            raise ProblemError(HTTPStatus.FORBIDDEN, lacking)
        return who


def may(resource: str) -> Any:  # noqa: ANN401 - FastAPI's own word for what stands in Annotated
    """Return the dependency that lets in who may look at ``resource``, or change it.

    Which of both it is, the method of the request says.
    """
    return Depends(Permission(resource))


def too_many_failures() -> ProblemError:
    """Return the problem that no credential is even looked at now."""
    return ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too many failed logins: wait a while")


AnyCaller = Annotated[Caller, Depends(caller)]


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers=CHALLENGE)
