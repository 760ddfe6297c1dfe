"""Problems: every error of a REST API as ``application/problem+json`` (RFC 9457).

``field`` names the field at fault, as the caller wrote it: ``send_as.0`` is the first
of the list ``send_as``.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "What is wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in a sentence."},
        "field": {"type": "string", "description": "The field at fault, such as `send_as.0`."},
    },
    "required": ["type", "title", "status", "detail"],
    "example": {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "the local part is malformed",
        "field": "address",
    },
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PLACES = {"body", "query", "path", "header"}
_TELLS_NOTHING = {"model_attributes_type", "dict_type"}

Troubles = Mapping[type[Exception], tuple[int, str]]
"""Exceptions that mean an answer: its status and its words."""


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


def problem_response(
    status: int, detail: str, field: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that tells a problem."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }
    return JSONResponse(
        body | ({"field": field} if field else {}), status, headers, media_type=MEDIA_TYPE
    )


def tell_problems(app: FastAPI, troubles: Troubles) -> None:
    """Let ``app`` answer every error as a problem, and ``troubles`` as what they mean."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem_response(error.status, error.detail, error.field, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, *_fault(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(app, request))
        return problem_response(error.status_code, str(error.detail), headers=headers)

    async def _trouble(_: Request, error: Exception) -> JSONResponse:
        met = next(kind for kind in type(error).__mro__ if kind in troubles)
        return problem_response(*troubles[met])

    for kind in troubles:
        app.add_exception_handler(kind, _trouble)


def describe_problems(document: dict[str, Any]) -> None:
    """Write into an OpenAPI ``document`` which problems each operation may answer."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = SCHEMA
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in _problems_of(path, method, operation):
                operation["responses"][str(int(status))] = {
                    "description": status.phrase,
                    "content": {MEDIA_TYPE: reference},
                }


def _methods(app: FastAPI, request: Request) -> Iterator[str]:
    """Yield the methods that the request's address takes (RFC 9110 §10.2.1)."""
    for method in _METHODS:
        asked = {**request.scope, "method": method}
        if any(route.matches(asked)[0] is Match.FULL for route in app.routes):
            yield method


def _problems_of(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[HTTPStatus]:
    if not path.startswith("/v1/"):
        return
    yield from (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
    yield from (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS)
    yield HTTPStatus.SERVICE_UNAVAILABLE
    if method != "get":
        yield HTTPStatus.CONFLICT
    if any(part["name"] == "if-match" for part in operation.get("parameters", ())):
        yield HTTPStatus.PRECONDITION_FAILED
    if "requestBody" in operation:
        yield from (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def _fault(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is wrong, and with which field."""
    if error["type"] == "json_invalid":
        return f"the body is no JSON: {error['ctx']['error']}", ""
    detail = error["msg"].removeprefix("Value error, ")
    if error["type"] in _TELLS_NOTHING:
        detail = "the body must be a JSON object"
    first, *steps = error["loc"] or ("body",)
    return detail, ".".join(map(str, steps if first in _PLACES else (first, *steps)))
