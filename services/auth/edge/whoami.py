"""``/v1/whoami``: what users see and change of themselves, with their own credentials."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from kernel.model.questions import LoginQuestion, LoginVerdict
from services.auth.desk import Caller, Desk
from services.auth.edge.accounts import (
    FullName,
    Password,
    UserItem,
    item_of,
    known_user,
    secrets_for,
    store,
    with_secrets,
)
from services.auth.edge.credentials import AtDesk, caller, too_many_failures
from services.auth.edge.etags import Held, Seen
from services.auth.edge.fields import Body
from services.auth.edge.problems import ProblemError, not_found

router = APIRouter(prefix="/v1/whoami", tags=["whoami"])


def user(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Return the caller, who must be a user."""
    if not who.login:
        raise not_found("user", "behind this credential")
    return who


Oneself = Annotated[Caller, Depends(user)]


class OwnChanges(Body):
    """What users may change about themselves."""

    full_name: FullName = ""


class OwnPassword(Body):
    """A change of one's own password."""

    current: Password
    new: Password


@router.get("")
async def whoami(who: Oneself, desk: AtDesk, tags: Seen) -> UserItem:
    """Show the user whose credential this is."""
    async with desk.database.reading() as db:
        return tags.show(item_of(await known_user(db, who.login)))


@router.patch("")
async def change_oneself(who: Oneself, desk: AtDesk, tags: Held, changes: OwnChanges) -> UserItem:
    """Change what users may change about themselves."""
    async with desk.changing(who) as change:
        before = await known_user(change.db, who.login)
        tags.expect(item_of(before))
        after = replace(before, full_name=changes.given().get("full_name", before.full_name))
        return tags.show(await store(change, before, after, None))


@router.put("/password", status_code=HTTPStatus.NO_CONTENT)
async def change_own_password(
    who: Oneself, desk: AtDesk, tags: Held, passwords: OwnPassword
) -> None:
    """Change one's own password. App passwords stay as they are."""
    await _check(desk, who, passwords.current.get_secret_value())
    async with desk.database.reading() as db:
        seen = await known_user(db, who.login)
    new = {"password": passwords.new}
    secrets = await secrets_for(desk, seen.user, new)
    async with desk.changing(who) as change:
        before = await known_user(change.db, who.login)
        tags.expect(item_of(before))
        if before.user.salt != seen.user.salt:  # the login itself has renewed an old hash
            secrets = await secrets_for(desk, before.user, new)
        after = replace(before, user=with_secrets(before.user, secrets))
        await store(change, before, after, secrets)


async def _check(desk: Desk, who: Caller, password: str) -> None:
    """See that it is the caller's password; a wrong one counts as any failed login does."""
    question = LoginQuestion("api", "", who.client, "BASIC", who.login, password)
    verdict = (await desk.logins.attempt(question)).verdict
    if verdict is LoginVerdict.LOCKED:
        raise too_many_failures()
    if verdict is not LoginVerdict.GRANTED:
        raise ProblemError(HTTPStatus.FORBIDDEN, "this is not your password", "current")
