"""``/v1/aliases``: addresses that stand for others."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import aliases, domains
from services.auth.adapters.aliases import Alias
from services.auth.core.directory import POSTMASTER, SHARED, Key, key_of
from services.auth.edge.credentials import Administrator, AtDesk
from services.auth.edge.fields import Body, Item, MailAddress, Page, Wanted, address_in_path
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

router = APIRouter(prefix="/v1/aliases", tags=["aliases"])
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
async def list_aliases(_: Administrator, desk: AtDesk, wanted: Wanted) -> Page[AliasItem]:
    """List the aliases by address."""
    async with desk.database.reading() as db:
        found = await aliases.page(db, wanted.limit + 1, wanted.after)
    return wanted.page([_item(alias) for alias in found], lambda item: str(item.address))


@router.post("", status_code=HTTPStatus.CREATED)
async def add_alias(who: Administrator, desk: AtDesk, new: NewAlias) -> AliasItem:
    """Let an address stand for others."""
    alias = Alias(new.address, new.targets)
    try:
        async with desk.database.writing() as db:
            known = await domains.every(db)
            if key_of(alias.address, known) is None:
                raise invalid("address", f"{alias.address.domain} is no domain of ours")
            await aliases.add(db, alias, known)
    except TakenError:
        raise conflict(f"{alias.address} exists already", "address") from None
    await desk.changed(who, "added", "aliases", str(alias.address))
    return _item(alias)


@router.get("/{address:path}")
async def show_alias(_: Administrator, desk: AtDesk, address: Name) -> AliasItem:
    """Show one alias."""
    async with desk.database.reading() as db:
        return _item((await _known(db, address))[1])


@router.patch("/{address:path}")
async def change_alias(
    who: Administrator, desk: AtDesk, address: Name, changes: AliasChanges
) -> AliasItem:
    """Let an alias stand for others than before."""
    async with desk.database.writing() as db:
        key, alias = await _known(db, address)
        await aliases.change(db, key, changes.targets)
    await desk.changed(who, "changed", "aliases", str(alias.address))
    return _item(Alias(alias.address, changes.targets))


@router.delete("/{address:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_alias(who: Administrator, desk: AtDesk, address: Name) -> None:
    """Remove an alias. Postmaster stays: every domain must have one (RFC 5321 §4.5.1)."""
    async with desk.database.writing() as db:
        key, alias = await _known(db, address)
        if key == (SHARED, POSTMASTER):
            raise conflict("postmaster must exist: change its targets instead")
        await aliases.remove(db, key)
    await desk.changed(who, "removed", "aliases", str(alias.address))


async def _known(db: AsyncConnection, text: str) -> tuple[Key, Alias]:
    key = key_of(address_in_path(text, "alias"), await domains.every(db))
    alias = await aliases.find(db, key) if key else None
    if key is None or alias is None:
        raise not_found("alias", text)
    return key, alias


def _item(alias: Alias) -> AliasItem:
    return AliasItem(address=alias.address, targets=list(alias.targets))
