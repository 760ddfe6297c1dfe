"""The REST API of auth and ledger, as the command uses it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from postroom.errors import ChangedError, NotFoundError, RefusedError, UnreachableError
from postroom.settings import CommandSettings

Item = dict[str, Any]

PAGE = 200
ATTEMPTS = 3  # at a change that others get in the way of
PATIENCE = aiohttp.ClientTimeout(total=30, connect=5)
_REFUSALS: Mapping[int, type[RefusedError]] = {
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.PRECONDITION_FAILED: ChangedError,
}


@dataclass(frozen=True, slots=True)
class Credential:
    """What we show to be let in, and how people call it."""

    header: str
    name: str
    login: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and which version of it that was (RFC 9110 §8.8.3)."""

    content: Item
    etag: str


class Api:
    """One service's REST API. Use as a context manager."""

    def __init__(self, url: str, credential: Credential) -> None:
        self._url = url.rstrip("/")
        self._credential = credential
        self._session = aiohttp.ClientSession(
            headers={"Authorization": credential.header}, timeout=PATIENCE
        )

    @property
    def login(self) -> str:
        """As whom we log in; empty with an API key."""
        return self._credential.login

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, *path: str, **query: object) -> Item:
        """Return what stands under ``path``; a query of None or "" is left out."""
        return (await self._call("GET", path, query=query)).content

    async def post(self, *path: str, body: Item | None = None) -> Item:
        """Make something under ``path``."""
        return (await self._call("POST", path, body)).content

    async def patch(self, *path: str, body: Item) -> Item:
        """Change what stands under ``path``."""
        return (await self._call("PATCH", path, body)).content

    async def delete(self, *path: str, **query: object) -> Item:
        """Remove what stands under ``path``."""
        return (await self._call("DELETE", path, query=query)).content

    async def revise(self, *path: str, changes: Callable[[Item], Item]) -> Item:
        """Read what stands under ``path``, and make the changes that follow from it.

        If somebody else changes it in between, it is read again: no change is lost.
        """
        for _ in range(ATTEMPTS):
            found = await self._call("GET", path)
            body = changes(found.content)
            if not body:
                return found.content
            try:
                return (await self._call("PATCH", path, body, etag=found.etag)).content
            except ChangedError:
                continue
        raise ChangedError(f"{path[-1]} is being changed by others: try again")

    async def every(self, *path: str, **query: object) -> list[Item]:
        """Return all items of a list, page after page."""
        items: list[Item] = []
        after = None
        while True:
            page = await self.get(*path, **query, limit=PAGE, after=after)
            items += page["items"]
            after = page.get("next")
            if not after:
                return items

    async def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: Item | None = None,
        query: Mapping[str, object] | None = None,
        etag: str = "",
    ) -> Answer:
        url = URL(self._url + _spell(path), encoded=True).extend_query(_query(query or {}))
        headers = {"If-Match": etag} if etag else {}
        try:
            async with self._session.request(method, url, json=body, headers=headers) as response:
                content = await _content(response)
                self._judge(response.status, content)
                return Answer(content, response.headers.get("ETag", ""))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnreachableError(f"no answer from {self._url} ({_words(error)})") from error

    def _judge(self, status: int, problem: Item) -> None:
        """Raise what a problem (RFC 9457) means; its field is the top one."""
        if status < HTTPStatus.BAD_REQUEST:
            return
        words = problem.get("detail") or problem.get("title") or f"{self._url} answered {status}"
        if status == HTTPStatus.UNAUTHORIZED:
            raise RefusedError(f"{self._url} does not accept {self._credential.name}")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnreachableError(words)
        kind = _REFUSALS.get(status, RefusedError)
        raise kind(words, str(problem.get("field") or "").partition(".")[0])


def auth() -> Api:
    """Return the API of auth."""
    settings = CommandSettings()
    return Api(settings.auth_url, credential_of(settings))


def ledger() -> Api:
    """Return the API of the ledger."""
    settings = CommandSettings()
    return Api(settings.ledger_url, credential_of(settings))


def ingress() -> Api:
    """Return what ingress can be asked at its health port, by who knows the service credential."""
    settings = CommandSettings()
    if settings.service_token is None:
        raise RefusedError(f"there is no service credential in {settings.var}/secrets")
    if not settings.ingress_url:
        raise UnreachableError("ingress has no health port")
    header = f"Bearer {settings.service_token.get_secret_value()}"
    return Api(settings.ingress_url, Credential(header, "the service credential"))


def credential_of(settings: CommandSettings) -> Credential:
    """Return what to show: an API key if there is one, else login and password."""
    if settings.api_key is not None:
        return Credential(f"Bearer {settings.api_key.get_secret_value()}", "the API key")
    password = settings.admin_password
    if password is None:
        raise RefusedError(
            f"no credential: there is none in {settings.var}/secrets. Run this from the folder"
            " of the server, or set POSTROOM_ADMIN_PASSWORD or POSTROOM_API_KEY"
        )
    login = settings.admin_login
    header = aiohttp.encode_basic_auth(login, password.get_secret_value())
    return Credential(header, f"the credential of {login!r}", login)


def given(**fields: object) -> Item:
    """Return those fields that the caller has given."""
    return {name: value for name, value in fields.items() if value is not None}


def _query(query: Mapping[str, object]) -> dict[str, str]:
    shown = {name: value for name, value in query.items() if value not in (None, "")}
    return {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in shown.items()}


def _spell(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(segment, safe='/@:')}" for segment in path)


async def _content(response: aiohttp.ClientResponse) -> Item:
    if "json" not in response.content_type:
        return {}
    content = await response.json(content_type=None)
    return content if isinstance(content, dict) else {"items": content}


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error.strerror or error)
    return str(error) or type(error).__name__
