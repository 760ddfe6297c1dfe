"""``/v1/users``: who has a mailbox, and what they may do."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import Address, BadAddressError
from services.auth.adapters import domains, users
from services.auth.adapters.users import UserRecord
from services.auth.core.directory import Key, User, key_of
from services.auth.desk import Desk
from services.auth.edge.credentials import Administrator, AnyCaller, AtDesk
from services.auth.edge.fields import Body, Item, MailAddress, Page, Pattern, Wanted
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

router = APIRouter(tags=["users"])
Name = Annotated[str, Path(description="A login name, or the user's address.")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
FullName = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
SendAs = Annotated[
    tuple[Pattern, ...],
    Field(description="Patterns of further sender addresses that the user may use."),
]
MayRelay = Annotated[bool, Field(description="Whether the user may send to other domains.")]


class NewUser(Body):
    """A user to add."""

    address: MailAddress = Field(description="The user's address, in a domain of ours.")
    password: Password
    login: str = Field(
        default="",
        max_length=254,
        pattern=r"^[^\s:\x00-\x1f\x7f]*$",
        description="The login name; the whole address unless given.",
    )
    full_name: FullName = ""
    may_relay: MayRelay = True
    administrator: bool = False
    send_as: SendAs = ()


class UserChanges(Body):
    """What can be changed about a user."""

    password: Password | None = None
    full_name: FullName = ""
    may_relay: MayRelay = True
    administrator: bool = False
    send_as: SendAs = ()
    disabled: bool = Field(
        default=False,
        description="A disabled user cannot log in; mail still reaches the mailbox.",
    )


class UserItem(Item):
    """A user. Passwords are never shown."""

    login: str
    address: MailAddress = Field(description="Also the name of the mailbox.")
    addresses: list[MailAddress]
    full_name: str
    may_relay: bool
    administrator: bool
    send_as: list[str]
    disabled: bool


@router.get("/v1/users")
async def list_users(_: Administrator, desk: AtDesk, wanted: Wanted) -> Page[UserItem]:
    """List the users by login name."""
    async with desk.database.reading() as db:
        found = await users.page(db, wanted.limit + 1, wanted.after)
    return wanted.page([_item(record) for record in found], lambda item: item.login)


@router.post("/v1/users", status_code=HTTPStatus.CREATED)
async def add_user(who: Administrator, desk: AtDesk, new: NewUser) -> UserItem:
    """Give somebody a mailbox and a login."""
    record = await _record_of(desk, new)
    try:
        async with desk.database.writing() as db:
            known = await domains.every(db)
            if key_of(new.address, known) is None:
                raise invalid("address", f"{new.address.domain} is no domain of ours")
            if await users.find(db, record.user.login, None):
                raise conflict(
                    f"{record.user.login} exists already", "login" if new.login else "address"
                )
            await users.add(db, record, known)
    except TakenError:
        raise conflict(f"{new.address} exists already", "address") from None
    await desk.changed(who, "added", "users", record.user.login)
    return _item(record)


@router.get("/v1/users/{name:path}")
async def show_user(_: Administrator, desk: AtDesk, name: Name) -> UserItem:
    """Show one user."""
    async with desk.database.reading() as db:
        return _item(await _known(db, name))


@router.patch("/v1/users/{name:path}")
async def change_user(
    who: Administrator, desk: AtDesk, name: Name, changes: UserChanges
) -> UserItem:
    """Change some of a user's settings."""
    given = {field: getattr(changes, field) for field in changes.model_fields_set}
    given = await _hashed(desk, given)
    async with desk.database.writing() as db:
        before = await _known(db, name)
        record = _changed(before, given)
        if not (record.user.administrator and not record.user.disabled):
            await _keep_an_administrator(db, record.user.login)
        await users.change(db, record)
    await desk.changed(who, "changed", "users", record.user.login, fields=sorted(given))
    return _item(record)


@router.delete("/v1/users/{name:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_user(who: Administrator, desk: AtDesk, name: Name) -> None:
    """Remove a user and the user's addresses. What is in the mailbox stays where it is."""
    async with desk.database.writing() as db:
        user = (await _known(db, name)).user
        await _keep_an_administrator(db, user.login)
        for domain in (await domains.every(db)).values():
            if domain.undelivered_mailbox == user.address:
                raise conflict(f"undelivered mail of {domain.name} goes to {user.address}")
        await users.remove(db, user.login)
    await desk.changed(who, "removed", "users", user.login)


@router.get("/v1/whoami")
async def whoami(who: AnyCaller, desk: AtDesk) -> UserItem:
    """Show the user whose credential this is."""
    if not who.login:
        raise not_found("user", "behind the service credential")
    async with desk.database.reading() as db:
        return _item(await _known(db, who.login))


async def _record_of(desk: Desk, new: NewUser) -> UserRecord:
    login = (new.login or str(new.address)).casefold()
    if "@" in login and login != str(new.address).casefold():
        raise invalid("login", "a login that looks like an address must be the user's own")
    user = User(
        login,
        new.address,
        password=await desk.passwords.hash(new.password.get_secret_value()),
        may_relay=new.may_relay,
        administrator=new.administrator,
        send_as=new.send_as,
    )
    return UserRecord(user, new.full_name, (new.address,))


async def _hashed(desk: Desk, given: dict[str, Any]) -> dict[str, Any]:
    if "password" not in given:
        return given
    if given["password"] is None:
        raise invalid("password", "a user needs a password")
    return {**given, "password": await desk.passwords.hash(given["password"].get_secret_value())}


def _changed(record: UserRecord, given: dict[str, Any]) -> UserRecord:
    about_user = {field: value for field, value in given.items() if field != "full_name"}
    return replace(
        record,
        user=replace(record.user, **about_user),
        full_name=given.get("full_name", record.full_name),
    )


async def _known(db: AsyncConnection, name: str) -> UserRecord:
    record = await users.find(db, name, await _key_of(db, name))
    if record is None:
        raise not_found("user", name)
    return record


async def _key_of(db: AsyncConnection, name: str) -> Key | None:
    try:
        return key_of(Address.parse(name), await domains.every(db))
    except BadAddressError:
        return None


async def _keep_an_administrator(db: AsyncConnection, login: str) -> None:
    if await users.administrators(db) == {login}:
        raise conflict(f"{login} is the last administrator")


def _item(record: UserRecord) -> UserItem:
    user = record.user
    return UserItem(
        login=user.login,
        address=user.address,
        addresses=list(record.addresses),
        full_name=record.full_name,
        may_relay=user.may_relay,
        administrator=user.administrator,
        send_as=list(user.send_as),
        disabled=user.disabled,
    )
