"""``/v1/audit``: every change: who made it, when, from where, and what was before and after."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from services.auth.adapters import audit
from services.auth.adapters.audit import Search
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.fields import Item, Moment, Page, Wanted
from services.auth.edge.problems import invalid

KIND = "audit"
LAST = 2**31 - 1
_PLACE = re.compile("[0-9]{1,10}")

router = APIRouter(prefix="/v1/audit", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]


class AuditItem(Item):
    """A change. Secrets are not in it."""

    id: int
    at: datetime
    who: str = Field(description="A login, `key:<id>` of an API key, or `(service)`.")
    client: str = Field(description="The address that the request came from.")
    action: str = Field(description="`added`, `changed` or `removed`.")
    kind: str = Field(description="The resource, such as `users`.")
    key: str = Field(description="Its name.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def _search(
    kind: Annotated[str, Query(description="Only changes of this resource.")] = "",
    key: Annotated[str, Query(description="Only changes of the thing of this name.")] = "",
    who: Annotated[str, Query(description="Only changes that this one made.")] = "",
    since: Annotated[Moment | None, Query(description="Only changes from then on.")] = None,
    until: Annotated[Moment | None, Query(description="Only changes before then.")] = None,
) -> Search:
    return Search(kind, key, who, since, until)


@router.get("")
async def list_changes(
    _: Allowed, desk: AtDesk, wanted: Wanted, search: Annotated[Search, Depends(_search)]
) -> Page[AuditItem]:
    """List the changes, newest first."""
    before = _place(wanted.after)
    async with desk.database.reading() as db:
        found = await audit.page(db, search, wanted.limit + 1, before)
    items = [AuditItem.model_validate(row, from_attributes=True) for row in found]
    return wanted.page(items, lambda item: str(item.id))


def _place(after: str) -> int | None:
    if not after:
        return None
    if not _PLACE.fullmatch(after) or int(after) > LAST:
        raise invalid("after", "this is not the `next` of a page")
    return int(after)
