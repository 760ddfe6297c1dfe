"""`postroom grant`: who may relay for a while, having collected mail (POP/IMAP-before-SMTP)."""

from cyclopts import App

from kernel.clock import system_clock
from postroom.client import Item
from postroom.resource import Resource
from postroom.show import AsJson, until

app = App(name="grant")


def _spoken(grant: Item) -> Item:
    return {**grant, "until": until(grant["until"], system_clock())}


GRANTS = Resource(("v1/grants",), {"client": "CLIENT", "login": "USER", "until": "ENDS"}, _spoken)


@app.command(name="list")
async def list_(*, user: str = "", client: str = "", as_json: AsJson = False) -> None:
    """List the grants.

    Parameters
    ----------
    user
        Only those of this user.
    client
        Only those of this address.

    """
    await GRANTS.every(login=user, client=client, as_json=as_json)


@app.command
async def revoke(client: str, *, user: str = "") -> None:
    """End a grant at once.

    Parameters
    ----------
    client
        The address, as `postroom grant list` shows it.
    user
        Only this user's grant; else those of all who collected mail from there.

    """
    await GRANTS.remove(client, login=user)
