"""`postroom domain`: the domains whose mail is ours."""

from typing import Literal

from cyclopts import App

from postroom.client import Item, auth
from postroom.show import AsJson, show

app = App(name="domain")

COLUMNS = {
    "name": "DOMAIN",
    "primary": "PRIMARY",
    "own_users": "OWN USERS",
    "undelivered": "UNDELIVERED",
    "undelivered_mailbox": "INTO",
}


@app.command
async def add(
    name: str,
    *,
    own_users: bool = False,
    undelivered: Literal["refuse", "report", "mailbox"] = "refuse",
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
    async with auth() as api:
        show([await api.post("v1/domains", body=body)], COLUMNS, as_json=as_json)


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List all domains."""
    async with auth() as api:
        show(await api.every("v1/domains"), COLUMNS, as_json=as_json)


@app.command
async def remove(name: str) -> None:
    """Remove a domain; the primary one stays."""
    async with auth() as api:
        await api.delete("v1/domains", name)
    print(f"{name} is removed")
