"""Accounts: what the routes about users, and those for users themselves, have in common."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import Address, BadAddressError
from services.auth.adapters import domains, users
from services.auth.adapters.hashes import scheme_of
from services.auth.adapters.users import UserRecord
from services.auth.core.directory import Key, User, key_of
from services.auth.core.secrets import Secrets
from services.auth.desk import Caller, Change, Desk
from services.auth.edge.fields import Item, MailAddress, Number
from services.auth.edge.problems import ProblemError, conflict, invalid, not_found

KIND = "users"

Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
FullName = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
Quota = Annotated[
    Annotated[Number, Field(ge=1, le=2**63 - 1)] | None,
    Field(description="How many octets the mailbox may hold; null: any number."),
]


def _known_scheme(text: str) -> str:
    scheme_of(text)
    return text


PasswordHash = Annotated[
    str,
    AfterValidator(_known_scheme),
    Field(
        max_length=255,
        description="A password's hash from elsewhere, such as `{SSHA}...`, `{BLF-CRYPT}...`, "
        "`$2b$...`, `{SHA512-CRYPT}$6$...` or `$argon2id$...`. The next login makes ours of it.",
    ),
]


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
    quota: int | None = Field(description="How many octets the mailbox may hold; null: any.")
    has_challenge_secret: bool = Field(
        description="Whether CRAM-MD5 and SCRAM work with the user's own password."
    )


def item_of(record: UserRecord) -> UserItem:
    """Return what is shown of a user."""
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
        quota=user.quota,
        has_challenge_secret=bool(user.sealed),
    )


async def known_user(db: AsyncConnection, name: str) -> UserRecord:
    """Return the user of this login name or address."""
    record = await users.find(db, name, await _key_of(db, name))
    if record is None:
        raise not_found("user", name)
    return record


def guard(who: Caller, *concerned: User) -> None:
    """Keep administrators out of reach of keys that may less than they."""
    if not who.administrator and any(user.administrator for user in concerned):
        detail = "only administrators, and keys of the scope *, may change administrators"
        raise ProblemError(HTTPStatus.FORBIDDEN, detail, "administrator")


async def secrets_for(desk: Desk, user: User, given: Mapping[str, Any]) -> Secrets | None:
    """Return what is to be stored of a new password, if one is ``given``, or its hash."""
    password, hashed = given.get("password"), given.get("password_hash")
    if password is not None and hashed is not None:
        raise invalid("password_hash", "send the password or its hash, not both")
    if hashed is not None:
        return desk.passwords.taken_over(hashed, user.salt)
    if password is None:
        return None
    return await desk.passwords.made_for(user.login, password.get_secret_value(), user.salt)


def with_secrets(user: User, secrets: Secrets | None) -> User:
    """Return ``user`` with a new password, if there is one."""
    if secrets is None:
        return user
    if user.salt not in ("", secrets.salt):
        raise conflict("somebody else has changed the user's passwords: try again")
    return user.with_secrets(secrets)


async def store(
    change: Change, before: UserRecord, after: UserRecord, secrets: Secrets | None
) -> UserItem:
    """Store a changed user, and say so; return what is shown of it.

    Grants end with the password that has opened them: whoever else knew it is to be kept out.
    """
    await users.change(change.db, before, after)
    if after.user.disabled or secrets is not None:
        for client in await users.end_grants(change.db, after.user.login):
            change.note("removed", "grants", client, before={"login": after.user.login})
    item = item_of(after)
    shown = item.shown() | ({"password": "changed"} if secrets else {})
    change.note("changed", KIND, item.login, before=item_of(before).shown(), after=shown)
    return item


async def _key_of(db: AsyncConnection, name: str) -> Key | None:
    try:
        return key_of(Address.parse(name), await domains.every(db))
    except BadAddressError:
        return None
