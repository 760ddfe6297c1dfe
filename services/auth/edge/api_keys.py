"""``/v1/api-keys``: what opens this API to programs."""

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field
from pydantic import WithJsonSchema as Schema
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import api_keys
from services.auth.core.keys import ApiKey
from services.auth.core.scopes import SCOPES
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import Body, Containing, Item, Moment, Named, Page, Wanted
from services.auth.edge.problems import ProblemError, conflict, invalid, not_found
from services.auth.ports import TakenError

KIND = "api-keys"

router = APIRouter(prefix="/v1/api-keys", tags=[KIND])
Allowed = Annotated[Caller, may("keys")]
Id = Annotated[str, Path(description="The key's id.")]


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise ValueError(f"there is no scope {text}")
    return text


Scope = Annotated[str, AfterValidator(_scope), Schema({"type": "string", "enum": list(SCOPES)})]


class NewApiKey(Body):
    """A key to make."""

    name: Named = Field(description="What it is for.", examples=["backup"])
    scopes: tuple[Scope, ...] = Field(
        min_length=1, description="What it may do; `write` implies `read`, `*` is everything."
    )
    expires_at: Moment | None = Field(default=None, description="When it ends; null: never.")


class ApiKeyItem(Item):
    """A key. It is not shown again."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None


class ApiKeyMade(ApiKeyItem):
    """A key, just made."""

    key: str = Field(description="Show it as `Authorization: Bearer`. Not shown again.")


@router.get("")
async def list_api_keys(
    _: Allowed, desk: AtDesk, wanted: Wanted, q: Containing = ""
) -> Page[ApiKeyItem]:
    """List the keys."""
    async with desk.database.reading() as db:
        found = await api_keys.page(db, wanted.limit + 1, wanted.after, q)
    return wanted.page([_item(key) for key in found], lambda item: item.id)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_api_key(who: Allowed, desk: AtDesk, tags: Made, new: NewApiKey) -> ApiKeyMade:
    """Make a key. Who does so with a key can give only scopes that it has."""
    if new.expires_at is not None and new.expires_at <= desk.clock():
        raise invalid("expires_at", "that is past already")
    _guard(who, new.scopes)
    key, shown = desk.keys.make(new.name, new.scopes, new.expires_at)
    item = _item(key)
    try:
        async with desk.changing(who) as change:
            await api_keys.add(change.db, key)
            change.note("added", KIND, key.id, after=item.shown())
    except TakenError:
        raise conflict(f"there is a key {new.name} already", "name") from None
    tags.show_new(item, KIND, key.id)
    return ApiKeyMade(**dict(item), key=shown)


@router.get("/{key}")
async def show_api_key(_: Allowed, desk: AtDesk, tags: Seen, key: Id) -> ApiKeyItem:
    """Show what a key may do."""
    async with desk.database.reading() as db:
        return tags.show(_item(await _known(db, key)))


@router.delete("/{key}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_api_key(who: Allowed, desk: AtDesk, tags: Held, key: Id) -> None:
    """Revoke a key. Who does so with a key needs the scopes of the one that goes."""
    async with desk.changing(who) as change:
        known = await _known(change.db, key)
        item = _item(known)
        tags.expect(item)
        _guard(who, known.scopes)
        await api_keys.remove(change.db, key)
        change.note("removed", KIND, key, before=item.shown())


def _guard(who: Caller, scopes: Iterable[str]) -> None:
    lacking = sorted(scope for scope in scopes if not who.may(scope))
    if lacking:
        detail = f"this key does not have the scope {lacking[0]} itself"
        raise ProblemError(HTTPStatus.FORBIDDEN, detail, "scopes")


async def _known(db: AsyncConnection, key_id: str) -> ApiKey:
    found = await api_keys.find(db, (key_id,))
    if not found:
        raise not_found("API key", key_id)
    return found[0]


def _item(key: ApiKey) -> ApiKeyItem:
    return ApiKeyItem(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
    )
