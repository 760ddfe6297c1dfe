"""`postroom domain`: the domains whose mail is ours."""

from typing import Literal

from cyclopts import App

from postroom.client import Item, given
from postroom.resource import Resource
from postroom.show import AsJson

app = App(name="domain")

DOMAINS = Resource(
    ("v1/domains",),
    {
        "name": "DOMAIN",
        "primary": "PRIMARY",
        "own_users": "OWN USERS",
        "undelivered": "UNDELIVERED",
        "undelivered_mailbox": "INTO",
    },
)
Undelivered = Literal["refuse", "report", "mailbox"]


@app.command
async def add(
    name: str,
    *,
    own_users: bool = False,
    undelivered: Undelivered = "refuse",
    undelivered_mailbox: str = "",
    as_json: AsJson = False,
) -> None:
    """Add a domain.

    Parameters
    ----------
    name
        The domain.
    own_users
        Whether it has users of its own; else it is another name of the primary domain.
    undelivered
        What becomes of mail to an address that nobody has: refuse it, accept and
        report it, or put it into `undelivered-mailbox`.
    undelivered_mailbox
        The address of the user who gets such mail.

    """
    body: Item = {"name": name, "own_users": own_users, "undelivered": undelivered}
    if undelivered_mailbox:
        body["undelivered_mailbox"] = undelivered_mailbox
    await DOMAINS.add(body, as_json=as_json)


@app.command(name="list")
async def list_(*, search: str = "", as_json: AsJson = False) -> None:
    """List the domains.

    Parameters
    ----------
    search
        Only those with this in their name.

    """
    await DOMAINS.every(q=search, as_json=as_json)


@app.command
async def show(name: str, *, as_json: AsJson = False) -> None:
    """Show a domain."""
    await DOMAINS.show(name, as_json=as_json)


@app.command
async def change(
    name: str,
    *,
    own_users: bool | None = None,
    undelivered: Undelivered | None = None,
    undelivered_mailbox: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Change a domain.

    Parameters
    ----------
    name
        The domain.
    own_users
        Whether it has users of its own.
    undelivered
        What becomes of mail to an address that nobody has.
    undelivered_mailbox
        The address of the user who gets such mail; empty for none.

    """
    changes = given(own_users=own_users, undelivered=undelivered)
    if undelivered_mailbox is not None:
        changes["undelivered_mailbox"] = undelivered_mailbox or None
    await DOMAINS.change(name, changes=changes, as_json=as_json)


@app.command
async def remove(name: str) -> None:
    """Remove a domain; the primary one stays."""
    await DOMAINS.remove(name)
