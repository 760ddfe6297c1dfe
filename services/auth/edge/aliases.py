"""``/v1/aliases``: addresses that stand for others."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import aliases, domains
from services.auth.adapters.aliases import Alias, AliasSearch
from services.auth.core.directory import POSTMASTER, SHARED, Key, caught_by, key_of
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import (
    Body,
    Containing,
    InDomain,
    Item,
    MailAddress,
    Page,
    Wanted,
    address_in_path,
)
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

KIND = "aliases"

router = APIRouter(prefix="/v1/aliases", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="The alias's address.")]
Targets = Annotated[
    tuple[MailAddress, ...],
    Field(min_length=1, max_length=1000, description="Who receives instead, here or elsewhere."),
]


class NewAlias(Body):
    """An alias to add."""

    address: MailAddress = Field(description="Its address, in a domain of ours.")
    targets: Targets


class AliasChanges(Body):
    """What can be changed about an alias."""

    targets: Targets


class AliasItem(Item):
    """An alias."""

    address: MailAddress
    targets: list[MailAddress]


@router.get("")
async def list_aliases(
    _: Allowed,
    desk: AtDesk,
    wanted: Wanted,
    q: Containing = "",
    domain: InDomain = "",
    target: Annotated[str, Query(description="Only those that stand for this address.")] = "",
) -> Page[AliasItem]:
    """List the aliases by address."""
    search = AliasSearch(q, domain, target)
    async with desk.database.reading() as db:
        found = await aliases.page(db, search, wanted.limit + 1, wanted.after)
    return wanted.page([_item(alias) for alias in found], lambda item: str(item.address))


@router.post("", status_code=HTTPStatus.CREATED)
async def add_alias(who: Allowed, desk: AtDesk, tags: Made, new: NewAlias) -> AliasItem:
    """Let an address stand for others."""
    alias = Alias(new.address, new.targets)
    try:
        async with desk.changing(who) as change:
            known = await domains.every(change.db)
            if alias.address.domain not in known:
                raise invalid("address", f"{alias.address.domain} is no domain of ours")
            await aliases.add(change.db, alias, known)
            change.note("added", KIND, str(alias.address), after=_item(alias).shown())
    except TakenError:
        raise conflict(f"{alias.address} exists already", "address") from None
    return tags.show_new(_item(alias), KIND, str(alias.address))


@router.get("/{address:path}")
async def show_alias(_: Allowed, desk: AtDesk, tags: Seen, address: Name) -> AliasItem:
    """Show one alias."""
    async with desk.database.reading() as db:
        return tags.show(_item((await _known(db, address))[1]))


@router.patch("/{address:path}")
async def change_alias(
    who: Allowed, desk: AtDesk, tags: Held, address: Name, changes: AliasChanges
) -> AliasItem:
    """Let an alias stand for others than before."""
    async with desk.changing(who) as change:
        key, alias = await _known(change.db, address)
        before = _item(alias)
        tags.expect(before)
        await aliases.change(change.db, key, changes.targets)
        item = _item(Alias(alias.address, changes.targets))
        change.note("changed", KIND, str(alias.address), before=before.shown(), after=item.shown())
    return tags.show(item)


@router.delete("/{address:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_alias(who: Allowed, desk: AtDesk, tags: Held, address: Name) -> None:
    """Remove an alias. Postmaster stays: every domain must have one (RFC 5321 §4.5.1)."""
    async with desk.changing(who) as change:
        key, alias = await _known(change.db, address)
        tags.expect(_item(alias))
        if key == (SHARED, POSTMASTER):
            raise conflict("postmaster must exist: change its targets instead")
        for name in caught_by(alias.address, await domains.every(change.db)):
            raise conflict(f"undelivered mail of {name} goes to {alias.address}")
        await aliases.remove(change.db, key)
        change.note("removed", KIND, str(alias.address), before=_item(alias).shown())


async def _known(db: AsyncConnection, text: str) -> tuple[Key, Alias]:
    key = key_of(address_in_path(text, "alias"), await domains.every(db))
    alias = await aliases.find(db, key) if key else None
    if key is None or alias is None:
        raise not_found("alias", text)
    return key, alias


def _item(alias: Alias) -> AliasItem:
    return AliasItem(address=alias.address, targets=list(alias.targets))
