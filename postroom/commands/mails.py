"""`postroom mails`: which messages came in, newest first."""

from typing import Annotated, Literal

from cyclopts import Parameter

from postroom.client import Item, ledger
from postroom.show import AsJson, moment, show

COLUMNS = {
    "id": "MAIL",
    "accepted_at": "ACCEPTED",
    "sender": "FROM",
    "size": "OCTETS",
    "origin": "BY WAY OF",
    "ended": "ENDED",
}


async def mails(
    *,
    sender: Annotated[str, Parameter(name="--from")] = "",
    recipient: Annotated[str, Parameter(name="--to")] = "",
    state: Literal["open", "ended"] | None = None,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first.

    Parameters
    ----------
    sender
        Only those from this address.
    recipient
        Only those to this address.
    state
        Only those on their way, or only those that have come to an end.
    limit
        How many.

    """
    async with ledger() as api:
        query = {"sender": sender, "recipient": recipient, "state": state, "limit": limit}
        found = (await api.get("v1/mails", **query))["items"]
    show(found, COLUMNS, as_json=as_json, spoken=_spoken)


def _spoken(mail: Item) -> Item:
    return {
        **mail,
        "sender": mail["sender"] or "<>",
        "accepted_at": moment(mail["accepted_at"]),
        "ended": bool(mail["ended_at"]),
    }
