"""Problems of this API: which exceptions mean which answer. The words are the kernel's."""

from http import HTTPStatus

from fastapi import Request

from kernel.problems import (
    ProblemError,
    Troubles,
    conflict,
    invalid,
    not_found,
    problem_response,
)
from services.auth.ports import DirectoryUnavailableError, PasswordsBusyError, TakenError

__all__ = [
    "TROUBLES",
    "ProblemError",
    "conflict",
    "invalid",
    "no_secret_key",
    "not_found",
    "problem_response",
]

TROUBLES: Troubles = {
    TakenError: (HTTPStatus.CONFLICT, "that name is taken, or still in use"),
    DirectoryUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer"),
    PasswordsBusyError: (HTTPStatus.SERVICE_UNAVAILABLE, "too many logins at once"),
}
_NUL = b"%00"
_JSON = "application/json"


def no_secret_key(field: str) -> ProblemError:
    """Return the problem that the secret in ``field`` cannot be kept."""
    detail = "this server has no key to seal it with: set POSTROOM_AUTH_SECRET_KEY"
    return conflict(detail, field)


async def refuse_nonsense(request: Request) -> None:
    """Refuse a name with a NUL in it, which PostgreSQL cannot ask for, and a body not in JSON."""
    if "\0" in request.scope["path"] or _NUL in request.scope["query_string"]:
        raise ProblemError(HTTPStatus.NOT_FOUND, "nothing has such a name")
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if kind != _JSON and await request.body():
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the body as {_JSON}")
