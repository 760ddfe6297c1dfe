"""`postroom apikey`: keys with which programs use the API."""

from cyclopts import App

from kernel.clock import system_clock
from postroom.client import Item
from postroom.resource import Resource
from postroom.show import AsJson, Words, moment
from postroom.values import When, after

app = App(name="apikey")


def _spoken(key: Item) -> Item:
    moments = ("created_at", "expires_at")
    return {**key, **{name: moment(key[name]) for name in moments}}


KEYS = Resource(
    ("v1/api-keys",),
    {
        "id": "ID",
        "name": "NAME",
        "scopes": "MAY",
        "created_at": "MADE",
        "expires_at": "EXPIRES",
    },
    _spoken,
)


@app.command
async def add(
    name: str,
    *,
    scope: Words,
    expires: When | None = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once, now.

    Parameters
    ----------
    name
        What the key is for.
    scope
        What it opens, such as `users:read`, `domains:write` or `*`; give it once for each.
    expires
        When it ends: a date, or a length of time such as `90d`; never if not given.

    """
    body: Item = {"name": name, "scopes": list(scope)}
    if expires is not None:
        body["expires_at"] = after(system_clock(), expires)
    made = await KEYS.add(body, as_json=as_json)
    if not as_json:
        print(f"\nThe key, not shown again: {made['key']}")


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List the keys; what they open, never the keys themselves."""
    await KEYS.every(as_json=as_json)


@app.command
async def remove(key: str) -> None:
    """Take a key back.

    Parameters
    ----------
    key
        Its id, as `postroom apikey list` shows it.

    """
    await KEYS.remove(key)
