"""`postroom apppassword`: passwords that a user has beside the own one, for one program each."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from postroom.client import Item
from postroom.resource import Resource
from postroom.show import AsJson, moment

app = App(name="apppassword")

Purposes = Annotated[tuple[Literal["send", "collect"], ...], Parameter(negative_iterable="")]


def of(user: str) -> Resource:
    """Return the app passwords of a user."""
    columns = {"name": "NAME", "purposes": "FOR", "created_at": "MADE", "used_at": "LAST USED"}
    return Resource(("v1/users", user, "app-passwords"), columns, _spoken)


@app.command
async def add(user: str, name: str, *, purpose: Purposes, as_json: AsJson = False) -> None:
    """Make a password for one program of a user's. It is shown once, now.

    Parameters
    ----------
    user
        The user's login name or address.
    name
        What the password is for, such as `phone`.
    purpose
        What it opens: `send` mail, `collect` mail; give the option once for each.

    """
    made = await of(user).add({"name": name, "purposes": list(purpose)}, as_json=as_json)
    if not as_json:
        print(f"\nThe password, not shown again: {made['secret']}")


@app.command(name="list")
async def list_(user: str, *, as_json: AsJson = False) -> None:
    """List a user's app passwords."""
    await of(user).every(as_json=as_json)


@app.command
async def remove(user: str, name: str) -> None:
    """Take an app password back: it opens nothing any more."""
    await of(user).remove(name)


def _spoken(item: Item) -> Item:
    return {**item, "created_at": moment(item["created_at"]), "used_at": moment(item["used_at"])}
