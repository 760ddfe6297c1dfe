"""``/v1/users``: who has a mailbox, and what they may do."""

from collections.abc import Mapping
from dataclasses import fields, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import app_passwords, domains, users
from services.auth.adapters.users import UserRecord, UserSearch
from services.auth.core.directory import User, caught_by
from services.auth.core.naming import LOGIN, LONGEST_LOGIN, why_no_login, why_no_mailbox
from services.auth.desk import Caller
from services.auth.edge.accounts import (
    KIND,
    FullName,
    Password,
    PasswordHash,
    Quota,
    UserItem,
    guard,
    item_of,
    known_user,
    secrets_for,
    store,
    with_secrets,
)
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import (
    Body,
    Containing,
    Flag,
    InDomain,
    MailAddress,
    Page,
    Pattern,
    Wanted,
)
from services.auth.edge.problems import conflict, invalid
from services.auth.ports import TakenError

router = APIRouter(prefix="/v1/users", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="A login name, or the user's address.")]
SendAs = Annotated[
    tuple[Pattern, ...],
    Field(
        description="Patterns of further sender addresses that the user may use; `*` is every "
        "address, and takes the user out of the rule `not-your-address`."
    ),
]
MayRelay = Annotated[Flag, Field(description="Whether the user may send to other domains.")]
Disabled = Annotated[
    Flag, Field(description="A disabled user cannot log in; mail still reaches the mailbox.")
]
Only = Annotated[bool | None, Query(description="Only those who are, or only those who are not.")]
UNGIVEN: Any = Field(default_factory=str)
"""The default of a field that cannot be null, and stays as it is unless it is sent."""
_SECRETS: Any = [{"required": ["password"]}, {"required": ["password_hash"]}]
_COLUMNS = {field.name for field in fields(User)} - {"login", "address", "password"}


class NewUser(Body):
    """A user to add, with a password or the hash of one."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _SECRETS})

    address: MailAddress = Field(description="The user's address, in a domain of ours.")
    password: Password = UNGIVEN
    password_hash: PasswordHash = UNGIVEN
    login: Annotated[str, Field(max_length=LONGEST_LOGIN, pattern=LOGIN)] = Field(
        default="",
        description="The login name; the whole address unless given.",
    )
    full_name: FullName = ""
    may_relay: MayRelay = True
    administrator: Flag = False
    send_as: SendAs = ()
    disabled: Disabled = False
    quota: Quota = None


class UserChanges(Body):
    """What can be changed about a user."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["password", "password_hash"]}}
    )

    password: Password = UNGIVEN
    password_hash: PasswordHash = UNGIVEN
    full_name: FullName = ""
    may_relay: MayRelay = True
    administrator: Flag = False
    send_as: SendAs = ()
    disabled: Disabled = False
    quota: Quota = None


def _search(
    q: Containing = "",
    domain: InDomain = "",
    administrator: Only = None,
    disabled: Only = None,
    may_relay: Only = None,
) -> UserSearch:
    return UserSearch(q, domain, administrator, disabled, may_relay)


@router.get("")
async def list_users(
    _: Allowed, desk: AtDesk, wanted: Wanted, search: Annotated[UserSearch, Depends(_search)]
) -> Page[UserItem]:
    """List the users by login name."""
    async with desk.database.reading() as db:
        found = await users.page(db, search, wanted.limit + 1, wanted.after)
    return wanted.page([item_of(record) for record in found], lambda item: item.login)


@router.post("", status_code=HTTPStatus.CREATED)
async def add_user(who: Allowed, desk: AtDesk, tags: Made, new: NewUser) -> UserItem:
    """Give somebody a mailbox and a login."""
    user = _new_user(new)
    guard(who, user)
    secrets = await secrets_for(desk, user, new.given())
    if secrets is None:
        raise invalid("password", "a user needs a password")
    record = UserRecord(user.with_secrets(secrets), new.full_name, (new.address,))
    item = item_of(record)
    try:
        async with desk.changing(who) as change:
            known = await domains.every(change.db)
            if new.address.domain not in known:
                raise invalid("address", f"{new.address.domain} is no domain of ours")
            if await users.find(change.db, user.login, None):
                raise conflict(f"{user.login} exists already", "login" if new.login else "address")
            await users.add(change.db, record, known)
            change.note("added", KIND, user.login, after=item.shown())
    except TakenError:
        raise conflict(f"{new.address} exists already", "address") from None
    return tags.show_new(item, KIND, user.login)


@router.get("/{name:user}")
async def show_user(_: Allowed, desk: AtDesk, tags: Seen, name: Name) -> UserItem:
    """Show one user."""
    async with desk.database.reading() as db:
        return tags.show(item_of(await known_user(db, name)))


@router.patch("/{name:user}")
async def change_user(
    who: Allowed, desk: AtDesk, tags: Held, name: Name, changes: UserChanges
) -> UserItem:
    """Change some of a user's settings. What logins have granted ends with a new password too."""
    given = changes.given()
    async with desk.database.reading() as db:
        seen = await known_user(db, name)
    secrets = await secrets_for(desk, seen.user, given)
    async with desk.changing(who) as change:
        before = await known_user(change.db, name)
        tags.expect(item_of(before))
        after = _changed(before, given)
        guard(who, before.user, after.user)
        after = replace(after, user=with_secrets(after.user, secrets))
        if not (after.user.administrator and not after.user.disabled):
            await _keep_an_administrator(change.db, after.user.login)
        return tags.show(await store(change, before, after, secrets))


@router.delete("/{name:user}", status_code=HTTPStatus.NO_CONTENT)
async def remove_user(who: Allowed, desk: AtDesk, tags: Held, name: Name) -> None:
    """Remove a user with addresses, app passwords and grants. The mailbox stays where it is."""
    async with desk.changing(who) as change:
        record = await known_user(change.db, name)
        user, item = record.user, item_of(record)
        tags.expect(item)
        guard(who, user)
        await _keep_an_administrator(change.db, user.login)
        for domain in caught_by(user.address, await domains.every(change.db)):
            raise conflict(f"undelivered mail of {domain} goes to {user.address}")
        with_it = {
            "app_passwords": [one.name for one in await app_passwords.every(change.db, user.login)],
            "grants": await users.end_grants(change.db, user.login),
        }
        await users.remove(change.db, user.login)
        change.note("removed", KIND, user.login, before=item.shown() | with_it)


def _new_user(new: NewUser) -> User:
    login = (new.login or str(new.address)).casefold()
    if reason := why_no_mailbox(new.address):
        raise invalid("address", reason)
    if reason := why_no_login(login):
        raise invalid("login", reason)
    if "@" in login and login != str(new.address).casefold():
        raise invalid("login", "a login that looks like an address must be the user's own")
    return User(
        login,
        new.address,
        may_relay=new.may_relay,
        administrator=new.administrator,
        disabled=new.disabled,
        send_as=new.send_as,
        quota=new.quota,
    )


def _changed(record: UserRecord, given: Mapping[str, Any]) -> UserRecord:
    about_user = {field: value for field, value in given.items() if field in _COLUMNS}
    return replace(
        record,
        user=replace(record.user, **about_user),
        full_name=given.get("full_name", record.full_name),
    )


async def _keep_an_administrator(db: AsyncConnection, login: str) -> None:
    if await users.administrators(db) == {login}:
        raise conflict(f"{login} is the last administrator")
