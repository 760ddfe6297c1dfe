"""``/v1/lists``: clients, senders and recipients who are blocked, and who are never."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters import lists
from services.auth.adapters.lists import Entry
from services.auth.core.lists import Colour, Subject, new_entry, parse_entry
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Made, Seen
from services.auth.edge.fields import Body, Item, Page, Wanted
from services.auth.edge.problems import conflict, invalid, not_found
from services.auth.ports import TakenError

KIND = "lists"

router = APIRouter(prefix="/v1/lists", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Pattern = Annotated[str, Path(description="The pattern; its slashes may come as they are.")]
About = Annotated[Subject | None, Query(description="Only entries about this.")]


class NewEntry(Body):
    """What shall stand on a list."""

    subject: Subject
    pattern: str = Field(
        max_length=512,
        description="For clients a network such as `192.0.2.0/24`; for senders and recipients "
        "`ann@example.org`, `*@example.org`, `example.org` or `*.example.org`.",
    )


class EntryItem(Item):
    """What stands on a list."""

    subject: Subject
    pattern: str


@router.get("/{colour}")
async def list_entries(
    _: Allowed, desk: AtDesk, wanted: Wanted, colour: Colour, subject: About = None
) -> Page[EntryItem]:
    """List what stands on the black list or on the white one, by subject and pattern."""
    after = wanted.after.partition(" ")[::2]
    async with desk.database.reading() as db:
        found = await lists.page(db, colour, subject, wanted.limit + 1, after)
    return wanted.page(list(map(_item, found)), lambda item: f"{item.subject} {item.pattern}")


@router.post("/{colour}", status_code=HTTPStatus.CREATED)
async def add_entry(
    who: Allowed, desk: AtDesk, tags: Made, colour: Colour, new: NewEntry
) -> EntryItem:
    """Put a client, a sender or a recipient on a list. The white list wins."""
    try:
        entry = Entry(colour, new.subject, new_entry(colour, new.subject, new.pattern))
    except ValueError as error:
        raise invalid("pattern", str(error)) from None
    item = _item(entry)
    try:
        async with desk.changing(who) as change:
            await lists.add(change.db, entry)
            change.note("added", KIND, _name(entry), after=item.shown())
    except TakenError:
        raise conflict(f"{entry.pattern} is on the {colour} list already", "pattern") from None
    return tags.show_new(item, KIND, colour, entry.subject, entry.pattern)


@router.get("/{colour}/{subject}/{pattern:path}")
async def show_entry(
    _: Allowed, desk: AtDesk, tags: Seen, *, colour: Colour, subject: Subject, pattern: Pattern
) -> EntryItem:
    """Show what stands on a list."""
    async with desk.database.reading() as db:
        return tags.show(_item(await _known(db, colour, subject, pattern)))


@router.delete("/{colour}/{subject}/{pattern:path}", status_code=HTTPStatus.NO_CONTENT)
async def remove_entry(
    who: Allowed, desk: AtDesk, tags: Held, *, colour: Colour, subject: Subject, pattern: Pattern
) -> None:
    """Take something off a list."""
    async with desk.changing(who) as change:
        entry = await _known(change.db, colour, subject, pattern)
        tags.expect(_item(entry))
        await lists.remove(change.db, entry)
        change.note("removed", KIND, _name(entry), before=_item(entry).shown())


async def _known(db: AsyncConnection, colour: Colour, subject: Subject, text: str) -> Entry:
    try:
        entry = Entry(colour, subject, parse_entry(subject, text))
    except ValueError:
        raise not_found("entry", text) from None
    if not await lists.has(db, entry):
        raise not_found("entry", entry.pattern)
    return entry


def _item(entry: Entry) -> EntryItem:
    return EntryItem(subject=entry.subject, pattern=entry.pattern)


def _name(entry: Entry) -> str:
    return f"{entry.colour} {entry.subject} {entry.pattern}"
