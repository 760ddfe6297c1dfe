"""``/v1/grants``: who may send without a login, having just collected mail."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from services.auth.adapters import grants
from services.auth.adapters.grants import GrantSearch, HeldGrant
from services.auth.desk import Caller, Desk
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.fields import Item, Moment, Page, Wanted
from services.auth.edge.problems import not_found

KIND = "grants"

router = APIRouter(prefix="/v1/grants", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Login = Annotated[str, Query(description="Only those of this login name.")]
OfClient = Annotated[str, Query(description="Only those of this address.")]
Client = Annotated[str, Path(description="An address, or the network that grants go by.")]


class GrantItem(Item):
    """A grant: until then the user may send from there without a login."""

    client: str
    login: str
    until: Moment


@router.get("")
async def list_grants(
    _: Allowed, desk: AtDesk, wanted: Wanted, login: Login = "", client: OfClient = ""
) -> Page[GrantItem]:
    """List the grants that have not ended, by client and login name."""
    search = await _search(desk, client, login)
    after = wanted.after.partition(" ")[::2]
    async with desk.database.reading() as db:
        found = await grants.page(db, search, desk.clock(), wanted.limit + 1, after)
    return wanted.page(list(map(_item, found)), lambda item: f"{item.client} {item.login}")


@router.delete("/{client:path}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_grants(who: Allowed, desk: AtDesk, client: Client, login: Login = "") -> None:
    """Revoke all grants of a client, or one user's."""
    search = await _search(desk, client, login)
    async with desk.changing(who) as change:
        found = await grants.page(change.db, search, desk.clock())
        if not found:
            raise not_found("grant of", client)
        await grants.revoke(change.db, found)
        for grant in found:
            change.note("removed", KIND, grant.client, before=_item(grant).shown())


async def _search(desk: Desk, client: str, login: str) -> GrantSearch:
    granting = (await desk.directory.policies()).granting
    return GrantSearch(granting.key_of(client), login.casefold())


def _item(grant: HeldGrant) -> GrantItem:
    return GrantItem(client=grant.client, login=grant.login, until=grant.until)
