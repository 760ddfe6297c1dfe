"""``/v1/networks``: the LAN, whose machines may relay without a login."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import policies
from services.auth.core.lan import BadNetworkError, Networks, parse_network, trusted_network
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import Body, Containing, Item, Page, Wanted
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

KIND = "networks"

router = APIRouter(prefix="/v1/networks", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="The network; its slash may come as it is.")]


def _trusted(text: str) -> str:
    return str(trusted_network(text))


class NewNetwork(Body):
    """A network to trust."""

    cidr: Annotated[str, AfterValidator(_trusted)] = Field(
        description="`192.0.2.0/24`, `2001:db8::/32`, a single address, or `192.168.1.*`.",
        examples=["192.168.1.0/24"],
    )


class NetworkItem(Item):
    """A network of the LAN."""

    cidr: str


@router.get("")
async def list_networks(
    _: Allowed, desk: AtDesk, wanted: Wanted, q: Containing = ""
) -> Page[NetworkItem]:
    """List the networks of the LAN."""
    async with desk.database.reading() as db:
        found = await policies.networks(db, wanted.limit + 1, wanted.after, q)
    return wanted.page([NetworkItem(cidr=cidr) for cidr in found], lambda item: item.cidr)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_network(who: Allowed, desk: AtDesk, tags: Made, new: NewNetwork) -> NetworkItem:
    """Let the machines of a network relay without a login."""
    _refuse_gateways(new.cidr, desk.never_lan)
    item = NetworkItem(cidr=new.cidr)
    try:
        async with desk.changing(who) as change:
            await policies.add_network(change.db, new.cidr)
            change.note("added", KIND, new.cidr, after=item.shown())
    except TakenError:
        raise conflict(f"{new.cidr} is in the LAN already", "cidr") from None
    return tags.show_new(item, KIND, new.cidr)


@router.get("/{cidr:path}")
async def show_network(_: Allowed, desk: AtDesk, tags: Seen, cidr: Name) -> NetworkItem:
    """Show one network."""
    async with desk.database.reading() as db:
        return tags.show(await _known(db, cidr))


@router.delete("/{cidr:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_network(who: Allowed, desk: AtDesk, tags: Held, cidr: Name) -> None:
    """Trust the machines of a network no more."""
    async with desk.changing(who) as change:
        item = await _known(change.db, cidr)
        tags.expect(item)
        await policies.remove_network(change.db, item.cidr)
        change.note("removed", KIND, item.cidr, before=item.shown())


async def _known(db: AsyncConnection, text: str) -> NetworkItem:
    try:
        name = str(parse_network(text))
    except BadNetworkError:
        raise not_found("network", text) from None
    if not await policies.has_network(db, name):
        raise not_found("network", name)
    return NetworkItem(cidr=name)


def _refuse_gateways(cidr: str, never: Iterable[str]) -> None:
    """Refuse a network that would count for nothing: all of it is never in the LAN."""
    network = parse_network(cidr)
    for excluded in Networks.of(never).included:
        if network.version == excluded.version and network.subnet_of(excluded):  # type: ignore[arg-type]  # both are of one version
            raise invalid(
                "cidr",
                f"{cidr} is never in the LAN (POSTROOM_LAN_NEVER): strangers can seem to come "
                "from there, and could then relay through this server",
            )
