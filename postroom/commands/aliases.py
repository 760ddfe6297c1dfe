"""`postroom alias`: addresses that stand for others."""

from cyclopts import App

from postroom.client import auth
from postroom.show import AsJson, show

app = App(name="alias")

COLUMNS = {"address": "ALIAS", "targets": "STANDS FOR"}


@app.command
async def add(address: str, target: str, *more: str, as_json: AsJson = False) -> None:
    """Add an alias.

    Parameters
    ----------
    address
        The alias, in one of our domains.
    target
        Who receives its mail, here or elsewhere.
    more
        Others who receive it as well.

    """
    async with auth() as api:
        body = {"address": address, "targets": [target, *more]}
        show([await api.post("v1/aliases", body=body)], COLUMNS, as_json=as_json)


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List all aliases."""
    async with auth() as api:
        show(await api.every("v1/aliases"), COLUMNS, as_json=as_json)


@app.command
async def remove(address: str) -> None:
    """Remove an alias."""
    async with auth() as api:
        await api.delete("v1/aliases", address)
    print(f"{address} is removed")
