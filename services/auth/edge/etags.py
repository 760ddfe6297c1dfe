"""Entity tags: what somebody changes is what they have seen (RFC 9110 §8.8.3, §13).

A tag is strong, a digest of the item as it is shown. The lists of ``If-Match`` and
``If-None-Match`` may be spread over several header fields.
"""

import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import Depends, FastAPI, Header, Request, Response

from services.auth.edge.fields import Item
from services.auth.edge.problems import ProblemError

I = TypeVar("I", bound=Item)  # noqa: E741 - an item

ANY = "*"
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class NotModifiedError(Exception):
    """The caller has seen it already: 304."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What the caller has seen, and the response that tells what there is now."""

    response: Response
    if_match: str | None = None
    if_none_match: str | None = None

    def expect(self, item: Item) -> None:
        """Go on if ``item`` is what the caller has seen, or did not say (RFC 9110 §13.1.1)."""
        if self.if_match is None or self.if_match.strip() == ANY:
            return
        if (None, tag_of(item)) not in _tags(self.if_match):  # the strong comparison
            raise ProblemError(HTTPStatus.PRECONDITION_FAILED, "it has changed since you saw it")

    def show(self, item: I) -> I:
        """Return ``item`` with its tag, unless the caller has it (RFC 9110 §13.1.2)."""
        tag = tag_of(item)
        self.response.headers["ETag"] = tag
        seen = self.if_none_match
        if seen is not None and (seen.strip() == ANY or tag in {one for _, one in _tags(seen)}):
            raise NotModifiedError(tag)
        return item

    def show_new(self, item: I, *path: str) -> I:
        """Return ``item``, which was made just now, with its tag and its place below ``/v1``."""
        self.response.headers["Location"] = "/v1/" + "/".join(quote(s, safe="") for s in path)
        return self.show(item)


def tag_of(item: Item) -> str:
    """Return the tag of ``item``."""
    digest = hashlib.blake2b(item.model_dump_json().encode(), digest_size=16)
    return f'"{digest.hexdigest()}"'


def tell_not_modified(app: FastAPI) -> None:
    """Let ``app`` answer 304 to who has seen it."""

    @app.exception_handler(NotModifiedError)
    async def _seen(_: Request, error: NotModifiedError) -> Response:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": str(error)})


def _reading(
    request: Request,
    response: Response,
    if_none_match: Annotated[
        str, Header(description="Tags that you have seen: 304 if it is one of them.")
    ] = "",
) -> Tags:
    del if_none_match  # there may be several
    return Tags(response, if_none_match=_joined(request, "If-None-Match"))


def _changing(
    request: Request,
    response: Response,
    if_match: Annotated[
        str, Header(description="The `ETag` that you have seen: 412 if it is older.")
    ] = "",
) -> Tags:
    del if_match  # there may be several
    return Tags(response, if_match=_joined(request, "If-Match"))


def _making(response: Response) -> Tags:
    return Tags(response)


def _joined(request: Request, name: str) -> str | None:
    """Return the value of all header fields of that name (RFC 9110 §5.3)."""
    return ", ".join(request.headers.getlist(name)) if name in request.headers else None


def _tags(text: str) -> list[tuple[str | None, str]]:
    return [(match[1], match[2]) for match in _TAG.finditer(text)]


Seen = Annotated[Tags, Depends(_reading)]
"""For showing an item."""
Held = Annotated[Tags, Depends(_changing)]
"""For changing or removing one."""
Made = Annotated[Tags, Depends(_making)]
"""For adding one."""
