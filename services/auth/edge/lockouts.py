"""``/v1/lockouts``: whose failed logins are counted, and who has to wait because of them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import failures
from services.auth.core.login import PATIENCE, Failures, Subject, Suspect, is_locked
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Seen
from services.auth.edge.fields import Item, Page, Wanted
from services.auth.edge.problems import invalid, not_found

KIND = "lockouts"

router = APIRouter(prefix="/v1/lockouts", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
OfSubject = Annotated[
    Subject, Path(description="`login`, `client`, or `pair`: a name at an address.")
]
Who = Annotated[
    str,
    Path(
        description="The login name, the client's address or network, or both, parted by a space."
    ),
]


class LockoutItem(Item):
    """Failed logins with one name, from one address, or with that name from that address."""

    subject: Subject
    who: str
    count: int
    last: datetime
    locked_until: datetime | None = Field(description="Null while another try is allowed.")


@router.get("")
async def list_lockouts(
    _: Allowed,
    desk: AtDesk,
    wanted: Wanted,
    subject: Annotated[Subject | None, Query(description="Only names, clients or pairs.")] = None,
) -> Page[LockoutItem]:
    """List whose failed logins are counted."""
    async with desk.database.reading() as db:
        found = await failures.page(db, wanted.limit + 1, _place(wanted.after), subject)
    items = [_item(suspect, theirs, desk.clock()) for suspect, theirs in found]
    return wanted.page(items, lambda item: f"{item.subject} {item.who}")


@router.get("/{subject}/{who:path}")
async def show_lockout(
    _: Allowed, desk: AtDesk, tags: Seen, subject: OfSubject, who: Who
) -> LockoutItem:
    """Show the failed logins of one."""
    async with desk.database.reading() as db:
        return tags.show(await _known(db, (subject, who), desk.clock()))


@router.delete("/{subject}/{who:path}", status_code=HTTPStatus.NO_CONTENT)
async def clear_lockout(
    caller: Allowed, desk: AtDesk, tags: Held, subject: OfSubject, who: Who
) -> None:
    """Forget the failed logins of one, who may try again at once; those of a name everywhere."""
    one = (subject, who)
    async with desk.changing(caller) as change:
        pairs = await failures.pairs_of(change.db, who) if subject is Subject.LOGIN else ()
        found = await failures.find(change.db, (one, *pairs))
        if not found:
            raise not_found("lockout of", who)
        if one in found:
            tags.expect(_item(one, found[one], desk.clock()))
        for suspect, theirs in sorted(found.items(), reverse=True):
            await failures.remove(change.db, suspect)
            before = _item(suspect, theirs, desk.clock()).shown()
            change.note("removed", KIND, " ".join(suspect), before=before)


async def _known(db: AsyncConnection, suspect: Suspect, now: datetime) -> LockoutItem:
    found = await failures.find(db, (suspect,))
    if suspect not in found:
        raise not_found("lockout of", suspect[1])
    return _item(suspect, found[suspect], now)


def _place(after: str) -> Suspect | None:
    if not after:
        return None
    subject, _, who = after.partition(" ")
    if subject not in set(Subject):
        raise invalid("after", "this is not the `next` of a page")
    return Subject(subject), who


def _item(suspect: Suspect, theirs: Failures, now: datetime) -> LockoutItem:
    subject, who = suspect
    patience = PATIENCE[subject]
    return LockoutItem(
        subject=subject,
        who=who,
        count=theirs.count,
        last=theirs.last,
        locked_until=theirs.locked_until(patience) if is_locked(theirs, patience, now) else None,
    )
