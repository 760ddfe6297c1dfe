"""App passwords: made by us for one program of a user, shown once, revoked one by one."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import app_passwords
from services.auth.adapters.app_passwords import TooManyError
from services.auth.core.directory import AppPassword, Purpose, User
from services.auth.desk import Caller, Desk
from services.auth.edge.accounts import guard, known_user
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen, Tags
from services.auth.edge.fields import Body, Item, Named, Page, Wanted, Window
from services.auth.edge.problems import conflict, not_found
from services.auth.edge.whoami import Oneself
from services.auth.ports import TakenError

KIND = "app-passwords"

router = APIRouter(tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="A login name, or the user's address.")]
App = Annotated[str, Path(description="The app password's name.")]
OF_USER = "/v1/users/{name:user}/app-passwords"
OWN = "/v1/whoami/app-passwords"


class NewAppPassword(Body):
    """An app password to make."""

    name: Named = Field(description="Such as `phone`.", examples=["phone"])
    purposes: tuple[Purpose, ...] = Field(
        min_length=1, description="`send`: SMTP. `collect`: POP3 and IMAP."
    )


class AppPasswordItem(Item):
    """An app password. The secret is not shown again."""

    name: str
    purposes: list[Purpose]
    created_at: datetime
    used_at: datetime | None


class AppPasswordMade(AppPasswordItem):
    """An app password, just made."""

    secret: str = Field(description="What the program logs in with. Not shown again.")


@router.get(OF_USER)
async def list_app_passwords(
    _: Allowed, desk: AtDesk, wanted: Wanted, name: Name
) -> Page[AppPasswordItem]:
    """List a user's app passwords by name."""
    return await _page(desk, wanted, name)


@router.post(OF_USER, status_code=HTTPStatus.CREATED)
async def add_app_password(
    who: Allowed, desk: AtDesk, tags: Made, name: Name, new: NewAppPassword
) -> AppPasswordMade:
    """Make a user an app password."""
    return await _add(who, desk, tags, name, new)


@router.get(f"{OF_USER}/{{app}}")
async def show_app_password(
    _: Allowed, desk: AtDesk, tags: Seen, name: Name, app: App
) -> AppPasswordItem:
    """Show one of a user's app passwords."""
    async with desk.database.reading() as db:
        return tags.show((await _known(db, name, app))[1])


@router.delete(f"{OF_USER}/{{app}}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_app_password(who: Allowed, desk: AtDesk, tags: Held, name: Name, app: App) -> None:
    """Revoke one of a user's app passwords."""
    await _revoke(who, desk, tags, name, app)


@router.get(OWN)
async def list_own_app_passwords(
    who: Oneself, desk: AtDesk, wanted: Wanted
) -> Page[AppPasswordItem]:
    """List one's own app passwords by name."""
    return await _page(desk, wanted, who.login)


@router.post(OWN, status_code=HTTPStatus.CREATED)
async def add_own_app_password(
    who: Oneself, desk: AtDesk, tags: Made, new: NewAppPassword
) -> AppPasswordMade:
    """Make oneself an app password."""
    return await _add(who, desk, tags, who.login, new)


@router.get(f"{OWN}/{{app}}")
async def show_own_app_password(
    who: Oneself, desk: AtDesk, tags: Seen, app: App
) -> AppPasswordItem:
    """Show one of one's own app passwords."""
    async with desk.database.reading() as db:
        return tags.show((await _known(db, who.login, app))[1])


@router.delete(f"{OWN}/{{app}}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_own_app_password(who: Oneself, desk: AtDesk, tags: Held, app: App) -> None:
    """Revoke one of one's own app passwords."""
    await _revoke(who, desk, tags, who.login, app)


async def _page(desk: Desk, wanted: Window, name: str) -> Page[AppPasswordItem]:
    async with desk.database.reading() as db:
        login = (await known_user(db, name)).user.login
        found = await app_passwords.every(db, login)
    items = [_item(one) for one in found if one.name > wanted.after]
    return wanted.page(items, lambda item: item.name)


async def _add(
    who: Caller, desk: Desk, tags: Tags, name: str, new: NewAppPassword
) -> AppPasswordMade:
    async with desk.database.reading() as db:
        user = (await known_user(db, name)).user
    secret, kept = await desk.passwords.app_password(user.login, new.name, user.salt)
    made = AppPassword(
        new.name, frozenset(new.purposes), kept.hash, desk.clock(), sealed=kept.sealed
    )
    item = _item(made)
    try:
        async with desk.changing(who) as change:
            guard(who, (await known_user(change.db, user.login)).user)
            await app_passwords.add(change.db, user.login, kept.salt, made)
            change.note("added", KIND, f"{user.login}/{new.name}", after=item.shown())
    except TakenError:
        raise conflict(f"{user.login} has an app password {new.name} already", "name") from None
    except TooManyError as error:
        raise conflict(str(error)) from None
    tags.show_new(item, "users", user.login, KIND, new.name)
    return AppPasswordMade(**dict(item), secret=secret)


async def _revoke(who: Caller, desk: Desk, tags: Tags, name: str, app: str) -> None:
    async with desk.changing(who) as change:
        user, item = await _known(change.db, name, app)
        tags.expect(item)
        guard(who, user)
        login = user.login
        await app_passwords.remove(change.db, login, app)
        change.note("removed", KIND, f"{login}/{app}", before=item.shown())


async def _known(db: AsyncConnection, name: str, app: str) -> tuple[User, AppPasswordItem]:
    user = (await known_user(db, name)).user
    for one in await app_passwords.every(db, user.login):
        if one.name == app:
            return user, _item(one)
    raise not_found("app password", app)


def _item(one: AppPassword) -> AppPasswordItem:
    return AppPasswordItem(
        name=one.name,
        purposes=sorted(one.purposes),
        created_at=one.created_at,
        used_at=one.used_at,
    )
