"""HTTP between services: who asks shows the service credential; who cannot be asked is a value.

What is asked and answered stands in `kernel.model.questions`.
"""

import base64
import hmac
from typing import Self, TypeVar

from kernel import wire
from kernel.http_client import HttpClient

T = TypeVar("T")

SERVICE_SCHEME = "Bearer"


class PeerUnavailableError(Exception):
    """The service did not answer, or not with an answer: ask again later."""


class Peer:
    """Another service, asked over HTTP with the service credential. Use as a context manager."""

    def __init__(self, url: str, token: str, *, timeout: float = 10.0) -> None:
        """Ask at ``url``; raises `ValueError` if that names no server."""
        self._url = url.rstrip("/")
        fields = {
            "Authorization": f"{SERVICE_SCHEME} {token}",
            "Content-Type": "application/json",
        }
        self._client = HttpClient(url, fields, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def ask(self, path: str, question: object, kind: type[T]) -> T:
        """POST ``question``; return the answer. Raises `PeerUnavailableError`."""
        return await self._call("POST", path, wire.to_json(question), kind)

    async def get(self, path: str, kind: type[T]) -> T:
        """GET ``path``; return the answer. Raises `PeerUnavailableError`."""
        return await self._call("GET", path, b"", kind)

    async def _call(self, method: str, path: str, body: bytes, kind: type[T]) -> T:
        try:
            status, data = await self._client.request(method, path, body)
        except OSError as error:
            raise PeerUnavailableError(f"{self._url}{path}: {error!r}") from error
        if status != 200:  # noqa: PLR2004 - internal calls answer 200 or have failed
            raise PeerUnavailableError(f"{self._url}{path} answered {status}")
        try:
            return wire.from_json(data, kind)
        except ValueError as error:
            raise PeerUnavailableError(f"{self._url}{path}: {error}") from error


def shows_token(authorization: str | None, token: str) -> bool:
    """Return whether an ``Authorization`` header field carries the service credential.

    An empty ``token`` is nobody's: it would let in whoever shows none.
    """
    scheme, _, shown = (authorization or "").partition(" ")
    same = hmac.compare_digest(shown.encode(errors="surrogateescape"), token.encode())
    return scheme == SERVICE_SCHEME and same and bool(token)


def basic_credential(authorization: str | None) -> tuple[str, str] | None:
    """Return the login and password that an ``Authorization`` header field shows (RFC 7617)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, colon, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:  # not ASCII, not base64, or not UTF-8
        return None
    return (login, password) if colon else None
