"""The REST API of auth and ledger, as the command uses it."""

import os
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from postroom.errors import RefusedError, UnreachableError
from postroom.settings import CommandSettings

Item = dict[str, Any]

PAGE = 200
PATIENCE = aiohttp.ClientTimeout(total=30, connect=5)


class Api:
    """One service's REST API. Use as a context manager."""

    def __init__(self, url: str, login: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._login = login
        self._session = aiohttp.ClientSession(
            headers={"Authorization": aiohttp.encode_basic_auth(login, password)},
            timeout=PATIENCE,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, *path: str, **query: object) -> Item:
        """Return what stands under ``path``; a query of None or "" is left out."""
        return await self._call("GET", path, query=query)

    async def post(self, *path: str, body: Item | None = None) -> Item:
        """Make something under ``path``."""
        return await self._call("POST", path, body)

    async def patch(self, *path: str, body: Item) -> Item:
        """Change what stands under ``path``."""
        return await self._call("PATCH", path, body)

    async def delete(self, *path: str) -> Item:
        """Remove what stands under ``path``."""
        return await self._call("DELETE", path)

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
    ) -> Item:
        url = URL(self._url + _spell(path), encoded=True)
        shown = {k: str(v) for k, v in (query or {}).items() if v not in (None, "")}
        try:
            async with self._session.request(
                method, url.extend_query(shown), json=body
            ) as response:
                return self._judge(response.status, await _content(response))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnreachableError(f"no answer from {self._url} ({_words(error)})") from error

    def _judge(self, status: int, content: Item) -> Item:
        if status < 400:  # noqa: PLR2004 - RFC 9110 §15
            return content
        if status == 401:  # noqa: PLR2004 - RFC 9110 §15.5.2
            raise RefusedError(f"{self._url} does not accept the credential of {self._login!r}")
        raise RefusedError(_explanation(content) or f"{self._url} answered {status}")


def auth() -> Api:
    """Return the API of auth."""
    settings = CommandSettings()
    return _api(settings.auth_url, settings)


def ledger() -> Api:
    """Return the API of the ledger."""
    settings = CommandSettings()
    return _api(settings.ledger_url, settings)


def _api(url: str, settings: CommandSettings) -> Api:
    password = settings.admin_password
    if password is None:
        raise RefusedError(
            f"no credential: there is none in {settings.var}/secrets."
            " Run this from the folder of the server, or set POSTROOM_ADMIN_PASSWORD"
        )
    return Api(url, settings.admin_login, password.get_secret_value())


def _spell(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(segment, safe='/@:')}" for segment in path)


async def _content(response: aiohttp.ClientResponse) -> Item:
    if "json" not in response.content_type:
        return {}
    content = await response.json(content_type=None)
    return content if isinstance(content, dict) else {"items": content}


def _explanation(problem: Item) -> str:
    """Return the words of a problem (RFC 9457), with the field at fault."""
    words = str(problem.get("detail") or problem.get("title") or "")
    field = problem.get("field")
    return f"{field}: {words}" if field and words else words


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error.strerror or error)
    return str(error) or type(error).__name__
