"""``/v1/domains/{domain}/dkim``: the keys that sign the mail of a domain."""

import asyncio
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import BadAddressError, parse_domain
from kernel.names import NamesUnavailableError
from services.auth.adapters import dkim_keys, domains, keypairs
from services.auth.adapters.keypairs import BadKeyError
from services.auth.core.dkim import (
    LONGEST_NAME,
    Algorithm,
    DkimKey,
    KeyPair,
    KeyState,
    next_selector,
    parse_selector,
    record_name,
    strings_of,
    why_not_published,
)
from services.auth.desk import Caller, Change
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import Body, Item, Page, Wanted
from services.auth.edge.problems import (
    ProblemError,
    conflict,
    invalid,
    no_secret_key,
    not_found,
)

KIND = "dkim-keys"
PATIENCE = 8.0  # seconds, for all name servers together; the command waits 30

router = APIRouter(prefix="/v1/domains/{domain}/dkim", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
OfDomain = Annotated[str, Path(description="A domain of ours.")]
Name = Annotated[str, Path(description="The key's selector.")]
Selector = Annotated[str, AfterValidator(parse_selector)]


class NewKey(Body):
    """A key to make, or to bring along."""

    selector: Selector | None = Field(
        default=None, description="Its name in DNS; else the year and a letter, such as `2026a`."
    )
    algorithm: Algorithm | None = Field(default=None, description="`rsa` if nothing is said.")
    bits: Literal[2048, 3072, 4096] | None = Field(
        default=None, description="Of an RSA key: 2048 if nothing is said."
    )
    private_key: SecretStr | None = Field(
        default=None,
        max_length=16_384,
        description="A private key in PEM to use instead of making one. Kept sealed, never shown.",
    )


class KeyChanges(Body):
    """What can be changed about a key."""

    state: Literal[KeyState.ACTIVE, KeyState.RETIRED] | None = Field(
        default=None,
        description="`active`: it signs, and the one of its algorithm that did so is retired; "
        "`retired`: it signs no more. Leave its record in DNS for some days: mail is on its way. "
        "Whether DNS has it is not asked here, but by `published`.",
    )


class DnsRecord(BaseModel):
    """The TXT record to publish; `strings` are the same text in pieces that DNS can hold."""

    name: str
    text: str
    strings: list[str]


class KeyItem(Item):
    """A key, without its private half."""

    domain: str
    selector: str
    algorithm: Algorithm
    bits: int
    state: KeyState
    created_at: datetime
    record: DnsRecord


class Published(BaseModel):
    """Whether DNS has the record of a key, and else why not."""

    published: bool
    why: str
    found: list[str]


@router.get("")
async def list_keys(_: Allowed, desk: AtDesk, wanted: Wanted, domain: OfDomain) -> Page[KeyItem]:
    """List the keys of a domain by selector."""
    async with desk.database.reading() as db:
        name = await _ours(db, domain)
        found = await dkim_keys.page(db, name, wanted.limit + 1, wanted.after)
    return wanted.page([_item(key) for key in found], lambda item: item.selector)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_key(who: Allowed, desk: AtDesk, tags: Made, domain: OfDomain, new: NewKey) -> KeyItem:
    """Make a key. It signs once its record is published, and it is made `active`."""
    async with desk.database.reading() as db:
        name = await _ours(db, domain)
    if desk.seal is None:
        raise no_secret_key("private_key")
    pair = await _pair(new)
    async with desk.changing(who) as change:
        await _ours(change.db, name)
        selector = await _free(change.db, name, new.selector, desk.clock().year)
        sealed = dkim_keys.sealed_private(desk.seal, name, selector, pair.private)
        key = _prepared(name, selector, pair, sealed, desk.clock())
        await dkim_keys.add(change.db, key)
        item = _item(key)
        change.note("added", KIND, _key(key), after=item.shown())
    return tags.show_new(item, "domains", name, "dkim", key.selector)


@router.get("/{selector}")
async def show_key(
    _: Allowed, desk: AtDesk, tags: Seen, domain: OfDomain, selector: Name
) -> KeyItem:
    """Show a key, and the record that DNS has to have."""
    async with desk.database.reading() as db:
        return tags.show(_item(await _known(db, domain, selector)))


@router.get("/{selector}/published")
async def look_for_key(_: Allowed, desk: AtDesk, domain: OfDomain, selector: Name) -> Published:
    """Ask DNS whether it has the record of a key."""
    async with desk.database.reading() as db:
        key = await _known(db, domain, selector)
    try:
        found = (await desk.dns().ask(key.record_name, "TXT", PATIENCE)).records
    except NamesUnavailableError as error:
        unknown = f"DNS does not answer: {error}"
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, unknown) from None
    why = why_not_published(key, found)
    return Published(published=not why, why=why, found=list(found))


@router.patch("/{selector}")
async def change_key(
    who: Allowed,
    desk: AtDesk,
    tags: Held,
    *,
    domain: OfDomain,
    selector: Name,
    changes: KeyChanges,
) -> KeyItem:
    """Let a key sign, or sign no more."""
    async with desk.changing(who) as change:
        before = await _known(change.db, domain, selector)
        tags.expect(_item(before))
        after = replace(before, state=changes.state or before.state)
        if after.state is KeyState.ACTIVE:
            await _retire_other(change, after)
        await _put(change, before, after)
    return tags.show(_item(after))


@router.delete("/{selector}", status_code=HTTPStatus.NO_CONTENT)
async def remove_key(
    who: Allowed, desk: AtDesk, tags: Held, domain: OfDomain, selector: Name
) -> None:
    """Remove a key, for good. One that signs has to be retired first."""
    async with desk.changing(who) as change:
        key = await _known(change.db, domain, selector)
        item = _item(key)
        tags.expect(item)
        if key.state is KeyState.ACTIVE:
            raise conflict(f"{key.selector} signs: retire it first, or let another key sign")
        await dkim_keys.remove(change.db, key)
        change.note("removed", KIND, _key(key), before=item.shown())


async def _pair(new: NewKey) -> KeyPair:
    """Return the pair that is wanted; making one would hold up everybody else."""
    if new.private_key is None:
        algorithm = new.algorithm or Algorithm.RSA
        if algorithm is Algorithm.ED25519 and new.bits:
            raise invalid("bits", "an Ed25519 key has 256 bits")
        return await asyncio.to_thread(keypairs.make, algorithm, new.bits or 2048)
    try:
        pair = await asyncio.to_thread(keypairs.read, new.private_key.get_secret_value())
    except BadKeyError as error:
        raise invalid("private_key", str(error)) from None
    if new.algorithm not in (None, pair.algorithm):
        raise invalid("algorithm", f"the key is for {pair.algorithm}")
    if new.bits not in (None, pair.bits):
        raise invalid("bits", f"the key has {pair.bits}")
    return pair


async def _free(db: AsyncConnection, domain: str, wanted: str | None, year: int) -> str:
    """Return the selector that is ``wanted``, or one that is free."""
    taken = {key.selector for key in await dkim_keys.of_domain(db, domain)}
    selector = wanted or next_selector(year, taken)
    if selector in taken:
        raise conflict(f"{domain} has a key {selector} already", "selector")
    if len(record_name(selector, domain)) > LONGEST_NAME:
        raise invalid("selector", "with this domain it is too long for DNS")
    return selector


def _prepared(domain: str, selector: str, pair: KeyPair, sealed: str, now: datetime) -> DkimKey:
    return DkimKey(
        domain, selector, pair.algorithm, pair.bits, KeyState.PREPARED, pair.public, now, sealed
    )


async def _retire_other(change: Change, key: DkimKey) -> None:
    """Retire the key that ``key`` takes the place of: one of each algorithm signs."""
    for other in await dkim_keys.of_domain(change.db, key.domain):
        same = other.algorithm is key.algorithm and other.selector != key.selector
        if same and other.state is KeyState.ACTIVE:
            await _put(change, other, replace(other, state=KeyState.RETIRED))


async def _put(change: Change, before: DkimKey, after: DkimKey) -> None:
    await dkim_keys.put(change.db, after)
    was, item = _item(before), _item(after)
    change.note("changed", KIND, _key(after), before=was.shown(), after=item.shown())


async def _ours(db: AsyncConnection, text: str) -> str:
    """Return the canonical name of a domain of ours."""
    try:
        name = parse_domain(text)
    except BadAddressError:
        raise not_found("domain", text) from None
    if name not in await domains.every(db):
        raise not_found("domain", name)
    return name


async def _known(db: AsyncConnection, domain: str, selector: str) -> DkimKey:
    name = await _ours(db, domain)
    for key in await dkim_keys.of_domain(db, name):
        if key.selector == selector.lower():
            return key
    raise not_found("DKIM key", f"{selector} of {name}")


def _key(key: DkimKey) -> str:
    return f"{key.domain} {key.selector}"


def _item(key: DkimKey) -> KeyItem:
    return KeyItem(
        domain=key.domain,
        selector=key.selector,
        algorithm=key.algorithm,
        bits=key.bits,
        state=key.state,
        created_at=key.created_at,
        record=DnsRecord(name=key.record_name, text=key.record, strings=strings_of(key.record)),
    )
