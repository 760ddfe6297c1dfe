"""``/v1/domains``: the primary domain and its equals."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import BadAddressError, parse_domain
from services.auth.adapters import aliases, dkim_keys, domains, users
from services.auth.core.directory import Domain, Domains, Undelivered, key_of
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import (
    Body,
    Containing,
    DomainName,
    Flag,
    Item,
    MailAddress,
    Page,
    Wanted,
)
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

KIND = "domains"

router = APIRouter(prefix="/v1/domains", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="The domain's name.")]


class DomainChanges(Body):
    """What can be changed about a domain."""

    own_users: Flag = Field(
        default=False,
        description="Whether it has users and aliases of its own. Else every name that exists in "
        "one such domain exists in all of them.",
    )
    undelivered: Undelivered = Field(
        default=Undelivered.REFUSE,
        description="What becomes of mail for names that do not exist: `refuse` it, take it and "
        "`report` back to its sender, or put it into a `mailbox`.",
    )
    undelivered_mailbox: MailAddress | None = Field(
        default=None, description="The mailbox for such mail."
    )


class NewDomain(DomainChanges):
    """A domain to add."""

    name: DomainName = Field(description="Such as `example.org`.")


class DomainItem(Item):
    """A domain of ours."""

    name: str
    primary: bool = Field(description="Whether generated addresses are in it.")
    own_users: bool
    undelivered: Undelivered
    undelivered_mailbox: MailAddress | None


@router.get("")
async def list_domains(
    _: Allowed, desk: AtDesk, wanted: Wanted, q: Containing = ""
) -> Page[DomainItem]:
    """List the domains by name."""
    async with desk.database.reading() as db:
        found = await domains.page(db, wanted.limit + 1, wanted.after, q)
    return wanted.page([_item(domain) for domain in found], lambda item: item.name)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_domain(who: Allowed, desk: AtDesk, tags: Made, new: NewDomain) -> DomainItem:
    """Take mail for one more domain."""
    domain = Domain(**dict(new))
    if domain.name.startswith("["):
        raise invalid("name", "an address literal is no domain")
    async with desk.changing(who) as change:
        known = await domains.every(change.db)
        if domain.name in known:
            raise conflict(f"{domain.name} is a domain of ours already", "name")
        await domains.add(change.db, domain)
        await _check_mailbox(change.db, domain, {**known, domain.name: domain})
        change.note("added", KIND, domain.name, after=_item(domain).shown())
    return tags.show_new(_item(domain), KIND, domain.name)


@router.get("/{name}")
async def show_domain(_: Allowed, desk: AtDesk, tags: Seen, name: Name) -> DomainItem:
    """Show one domain."""
    async with desk.database.reading() as db:
        return tags.show(_item(_known(await domains.every(db), name)))


@router.patch("/{name}")
async def change_domain(
    who: Allowed, desk: AtDesk, tags: Held, name: Name, changes: DomainChanges
) -> DomainItem:
    """Change some settings of a domain."""
    try:
        async with desk.changing(who) as change:
            known = await domains.every(change.db)
            before = _known(known, name)
            tags.expect(_item(before))
            after = replace(before, **changes.given())
            if after.primary and after.own_users:
                raise invalid("own_users", "the primary domain shares its users with its equals")
            await domains.change(change.db, after)
            await _check_mailbox(change.db, after, {**known, after.name: after})
            was, item = _item(before), _item(after)
            change.note("changed", KIND, after.name, before=was.shown(), after=item.shown())
    except TakenError:
        raise conflict("a name exists on both sides", "own_users") from None
    return tags.show(item)


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT)
async def remove_domain(who: Allowed, desk: AtDesk, tags: Held, name: Name) -> None:
    """Take no more mail for a domain. The primary one stays, and so does one with addresses.

    Its DKIM keys go with it.
    """
    try:
        async with desk.changing(who) as change:
            domain = _known(await domains.every(change.db), name)
            tags.expect(_item(domain))
            if domain.primary:
                raise conflict(f"{domain.name} is the primary domain")
            keys = [key.selector for key in await dkim_keys.of_domain(change.db, domain.name)]
            await domains.remove(change.db, domain.name)
            was = _item(domain).shown() | {"dkim_keys": keys}
            change.note("removed", KIND, domain.name, before=was)
    except TakenError:
        raise conflict(f"{name} still has users or aliases") from None


def _known(known: Domains, name: str) -> Domain:
    try:
        return known[parse_domain(name)]
    except (KeyError, BadAddressError):
        raise not_found("domain", name) from None


async def _check_mailbox(db: AsyncConnection, domain: Domain, known: Domains) -> None:
    """Mail for names that do not exist needs a place that does."""
    mailbox = domain.undelivered_mailbox
    if mailbox is None:
        if domain.undelivered is Undelivered.MAILBOX:
            raise invalid("undelivered_mailbox", "name the mailbox for such mail")
        return
    key = key_of(mailbox, known)
    if key is None or not (await users.find(db, "", key) or await aliases.find(db, key)):
        raise invalid("undelivered_mailbox", f"{mailbox} is no address of ours")


def _item(domain: Domain) -> DomainItem:
    return DomainItem(
        name=domain.name,
        primary=domain.primary,
        own_users=domain.own_users,
        undelivered=domain.undelivered,
        undelivered_mailbox=domain.undelivered_mailbox,
    )
