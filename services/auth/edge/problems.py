"""Problems: every error as ``application/problem+json`` (RFC 9457), with the field at fault."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from services.auth.ports import DirectoryUnavailableError, PasswordsBusyError, TakenError

_NUL = "%00"
_PLACES = {"body", "query", "path", "header"}


class ProblemError(Exception):
    """An answer that says what is wrong, and with which field."""

    def __init__(
        self, status: int, detail: str, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = headers


def not_found(what: str, name: object) -> ProblemError:
    """Return the problem that there is no such thing."""
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no {what} {name}")


def conflict(detail: str, field: str = "") -> ProblemError:
    """Return the problem that something else stands in the way."""
    return ProblemError(HTTPStatus.CONFLICT, detail, field)


def invalid(field: str, detail: str) -> ProblemError:
    """Return the problem that the value of ``field`` will not do."""
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)


async def refuse_nul(request: Request) -> None:
    """Refuse an address with a NUL in it: nothing has such a name, and PostgreSQL cannot ask."""
    if "\0" in request.scope["path"] or _NUL in request.url.query:
        raise ProblemError(HTTPStatus.NOT_FOUND, "nothing has such a name")


def problem_response(
    status: int, detail: str, field: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return the answer that tells a problem."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return JSONResponse(
        body | ({"field": field} if field else {}),
        status,
        headers,
        media_type="application/problem+json",
    )


def tell_problems(app: FastAPI) -> None:
    """Let ``app`` answer every error as a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem_response(error.status, error.detail, error.field, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        path = [str(step) for step in first["loc"] if step not in _PLACES]
        detail = first["msg"].removeprefix("Value error, ")
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, ".".join(path))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem_response(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(TakenError)
    async def _taken(_: Request, __: TakenError) -> JSONResponse:
        return problem_response(HTTPStatus.CONFLICT, "that name is taken, or still in use")

    @app.exception_handler(DirectoryUnavailableError)
    async def _unavailable(_: Request, __: DirectoryUnavailableError) -> JSONResponse:
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer")

    @app.exception_handler(PasswordsBusyError)
    async def _busy(_: Request, __: PasswordsBusyError) -> JSONResponse:
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many logins at once")
