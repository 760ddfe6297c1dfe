"""``/v1/logins``: a server that checks passwords itself reports who has logged in to collect mail.

The login then opens a grant, like one that we have checked (POP/IMAP-before-SMTP).
"""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.fields import Body, Item, Moment
from services.auth.grants import open_grant

router = APIRouter(prefix="/v1/logins", tags=["logins"])


class ReportedLogin(Body):
    """A login that has succeeded elsewhere."""

    service: Literal["imap", "pop3"]
    user: str = Field(max_length=512, description="The user's login name, or an address.")
    client: str = Field(max_length=64, description="The client's IP address.")


class GrantAnswer(Item):
    """What came of it."""

    granted: bool
    why: str = Field(description="Why there is no grant; empty if there is one.")
    until: Moment | None = Field(description="Until when the client may send without a login.")


@router.post("")
async def report_login(
    _: Annotated[Caller, may("logins")], desk: AtDesk, login: ReportedLogin
) -> GrantAnswer:
    """Report a login over POP3 or IMAP; it is an answer, not an error, if it opens no grant."""
    opening = await open_grant(desk, login.service, login.user, login.client)
    return GrantAnswer(
        granted=opening.until is not None, why=opening.refusal or "", until=opening.until
    )
