"""`postroom listener`: where mail comes in, and what is allowed there."""

import json

from cyclopts import App

from postroom.client import Item, auth
from postroom.show import AsJson, plain, show, show_json, table

app = App(name="listener")

COLUMNS = {
    "name": "LISTENER",
    "tls": "TLS",
    "mechanisms": "LOGIN BY",
    "require_auth": "LOGIN NEEDED",
    "relay_outside_lan": "OPEN RELAY",
}


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List the listeners."""
    async with auth() as api:
        show(await api.every("v1/listeners"), COLUMNS, as_json=as_json)


@app.command(name="show")
async def show_(name: str, *, as_json: AsJson = False) -> None:
    """Show every setting of a listener."""
    async with auth() as api:
        _show_one(await api.get("v1/listeners", name), as_json=as_json)


@app.command(name="set")
async def set_(name: str, change: str, *more: str, as_json: AsJson = False) -> None:
    """Change settings of a listener.

    Parameters
    ----------
    name
        The listener: mx, submission or submissions.
    change
        `setting=value`, such as `require_auth=always` or `max_recipients=50`.
    more
        Further changes.

    """
    async with auth() as api:
        body = dict(map(_change, (change, *more)))
        _show_one(await api.patch("v1/listeners", name, body=body), as_json=as_json)


def _change(text: str) -> tuple[str, object]:
    setting, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not setting=value")
    try:
        return setting, json.loads(value)
    except ValueError:
        return setting, value


def _show_one(listener: Item, *, as_json: bool) -> None:
    if as_json:
        show_json(listener)
        return
    rows = [[setting, plain(value)] for setting, value in listener.items()]
    for line in table(["SETTING", "VALUE"], rows):
        print(line)
