"""`postroom alias`: addresses that stand for others."""

from cyclopts import App

from postroom.client import Item
from postroom.resource import Resource
from postroom.show import AsJson, Words

app = App(name="alias")

ALIASES = Resource(("v1/aliases",), {"address": "ALIAS", "targets": "STANDS FOR"})


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
    await ALIASES.add({"address": address, "targets": [target, *more]}, as_json=as_json)


@app.command(name="list")
async def list_(
    *, search: str = "", domain: str = "", target: str = "", as_json: AsJson = False
) -> None:
    """List the aliases.

    Parameters
    ----------
    search
        Only those with this in their address.
    domain
        Only those in this domain.
    target
        Only those that stand for this address.

    """
    await ALIASES.every(q=search, domain=domain, target=target, as_json=as_json)


@app.command
async def show(address: str, *, as_json: AsJson = False) -> None:
    """Show an alias."""
    await ALIASES.show(address, as_json=as_json)


@app.command
async def change(
    address: str,
    *targets: str,
    add: Words = (),
    drop: Words = (),
    as_json: AsJson = False,
) -> None:
    """Change for whom an alias stands.

    Parameters
    ----------
    address
        The alias.
    targets
        All who receive its mail from now on.
    add
        Somebody who receives it as well; may be given more than once.
    drop
        Somebody who receives it no more; may be given more than once.

    """
    if targets and (add or drop):
        raise ValueError("name either all targets, or those to --add and to --drop")
    changes: Item = {"targets": list(targets)} if targets else {}
    edits = {"targets": (add, drop)}
    await ALIASES.change(address, changes=changes, edits=edits, as_json=as_json)


@app.command
async def remove(address: str) -> None:
    """Remove an alias."""
    await ALIASES.remove(address)
