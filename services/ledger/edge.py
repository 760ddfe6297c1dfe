"""The ledger's REST API: what became of every message, and what waits."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Query, Response

from kernel import wire
from kernel.bus.handling import mail_of
from kernel.platform import Platform
from kernel.problems import describe_problems, tell_problems
from services.ledger.adapters.doorkeeper import Doorkeeper
from services.ledger.adapters.reading import MailFilter, Reading
from services.ledger.adapters.waiting import SqlWaitingRoom, WaitingFilter
from services.ledger.gate import HEALTH, TROUBLES, guard
from services.ledger.views import (
    Counts,
    Domain,
    Mail,
    Page,
    ParkedEvent,
    Queue,
    Queues,
    Retried,
    Retry,
    Story,
    Text,
    Waiting,
)

PARKED = "parked"

Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages are made of."""

    platform: Platform
    reading: Reading
    room: SqlWaitingRoom
    doorkeeper: Doorkeeper
    nudge: Callable[[], None]


def application(desk: Desk) -> FastAPI:
    """Return the application that answers at ``desk``."""
    app = FastAPI(title="Postroom ledger", version="1", redoc_url=None)
    guard(app, desk.platform.settings.service_token.get_secret_value(), desk.doorkeeper)
    tell_problems(app, TROUBLES)
    _show_mails(app, desk)
    _show_waiting(app, desk)
    _show_parked(app, desk)
    _show_numbers(app, desk)
    describe_problems(app.openapi())
    return app


def _show_mails(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/mails")
    async def mails(
        limit: Limit = 50,
        after: str = "",
        sender: str = "",
        recipient: str = "",
        state: Literal["open", "ended"] | None = None,
    ) -> Page[Mail]:
        """List mails, newest first."""
        ended = None if state is None else state == "ended"
        found = await desk.reading.mails(MailFilter(sender, recipient, ended, after), limit)
        return Page(items=found, next=found[-1].id if len(found) == limit else None)

    @app.get("/v1/mails/{mail}")
    async def story(mail: str) -> Story:
        """Tell the story of one mail."""
        found = await desk.reading.story(mail)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no mail {mail}")
        return found


def _show_waiting(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/waiting")
    async def waiting(
        limit: Limit = 50, after: str = "", domain: Domain | None = None, sender: Text | None = None
    ) -> Page[Waiting]:
        """List what waits, soonest first."""
        found = await desk.reading.waiting(WaitingFilter(domain, sender), _place(after), limit)
        last = f"{found[-1].due.isoformat()},{found[-1].id}" if len(found) == limit else None
        return Page(items=found, next=last)

    @app.post("/v1/waiting/retry")
    async def retry_all(wanted: Retry) -> Retried:
        """Make waiting legs due now: where a route has changed they go by the new one.

        What its sender wants held stays, unless it is named by its own id.
        """
        which = WaitingFilter(wanted.domain, wanted.sender, wanted.mail)
        made_due = await desk.room.retry_all(which, desk.platform.clock())
        desk.nudge()
        return Retried(legs=made_due)

    @app.post("/v1/waiting/{leg:path}/retry", status_code=HTTPStatus.NO_CONTENT)
    async def retry(leg: str) -> Response:
        """Make a waiting leg due now."""
        if not await desk.room.retry(leg, desk.platform.clock()):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"{leg} does not wait")
        desk.nudge()
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _show_parked(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/parked")
    async def parked(limit: Limit = 50) -> Page[ParkedEvent]:
        """List the events that nobody could handle, oldest first."""
        found = await desk.platform.bus.parked(limit)
        return Page(
            items=[
                ParkedEvent(key=one.key, queue=one.queue, mail=_mail_in(one.event), why=one.why)
                for one in found
            ]
        )

    @app.post("/v1/parked/{key}/replay", status_code=HTTPStatus.NO_CONTENT)
    async def replay(key: str) -> Response:
        """Put a parked event back on its queue."""
        if not await desk.platform.bus.replay(key):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"nothing is parked under {key}")
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _show_numbers(app: FastAPI, desk: Desk) -> None:
    @app.get(HEALTH, include_in_schema=False)
    async def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/v1/queues")
    async def queues() -> Queues:
        """Show the queues of the bus."""
        found = await desk.platform.bus.queues()
        parked = sum(queue.ready for queue in found if queue.name == PARKED)
        items = [Queue(**asdict(queue)) for queue in found if queue.name != PARKED]
        return Queues(items=items, parked=parked)

    @app.get("/v1/balance")
    async def balance() -> Counts:
        """Count recipients."""
        now = await desk.reading.balance(desk.platform.clock())
        return Counts(accepted=now.accepted, ended=now.ended, open=now.open, waiting=now.waiting)


def _mail_in(event: bytes) -> str:
    """Return the id of the mail that an event is about, as far as it can be read."""
    try:
        return mail_of(wire.decode(event))
    except wire.UnreadableEventError:
        return ""


def _place(cursor: str) -> tuple[datetime, str] | None:
    if not cursor:
        return None
    moment, _, leg = cursor.partition(",")
    try:
        return datetime.fromisoformat(moment), leg
    except ValueError:
        detail = "after is not a cursor of this list"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
