"""``/v1/networks``: the LAN, whose machines may relay without a login."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field

from services.auth.adapters import policies
from services.auth.core.lan import BadNetworkError, parse_network, trusted_network
from services.auth.edge.credentials import Administrator, AtDesk
from services.auth.edge.fields import Body, Item, Page, Wanted
from services.auth.edge.problems import conflict, not_found
from services.auth.ports import TakenError

router = APIRouter(prefix="/v1/networks", tags=["networks"])


def _trusted(text: str) -> str:
    return str(trusted_network(text))


class NewNetwork(Body):
    """A network to trust."""

    cidr: Annotated[str, AfterValidator(_trusted)] = Field(
        description="`192.0.2.0/24`, `2001:db8::/32`, a single address, or `192.168.1.*`."
    )


class NetworkItem(Item):
    """A network of the LAN."""

    cidr: str


@router.get("")
async def list_networks(_: Administrator, desk: AtDesk, wanted: Wanted) -> Page[NetworkItem]:
    """List the networks of the LAN."""
    async with desk.database.reading() as db:
        found = await policies.networks(db, wanted.limit + 1, wanted.after)
    return wanted.page([NetworkItem(cidr=cidr) for cidr in found], lambda item: item.cidr)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_network(who: Administrator, desk: AtDesk, new: NewNetwork) -> NetworkItem:
    """Let the machines of a network relay without a login."""
    try:
        async with desk.database.writing() as db:
            await policies.add_network(db, new.cidr)
    except TakenError:
        raise conflict(f"{new.cidr} is in the LAN already", "cidr") from None
    await desk.changed(who, "added", "networks", new.cidr)
    return NetworkItem(cidr=new.cidr)


@router.delete("/{cidr:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_network(
    who: Administrator,
    desk: AtDesk,
    cidr: Annotated[str, Path(description="The network; its slash may come as it is.")],
) -> None:
    """Trust the machines of a network no more."""
    try:
        name = str(parse_network(cidr))
    except BadNetworkError:
        raise not_found("network", cidr) from None
    async with desk.database.writing() as db:
        if not await policies.remove_network(db, name):
            raise not_found("network", name)
    await desk.changed(who, "removed", "networks", name)
