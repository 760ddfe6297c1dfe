"""`postroom lockout`: who failed to log in so often that they have to wait."""

from typing import Literal

from cyclopts import App

from kernel.clock import system_clock
from postroom.client import Item
from postroom.resource import Resource
from postroom.show import AsJson, moment, until

app = App(name="lockout")

Subject = Literal["login", "client", "pair"]


def _spoken(lockout: Item) -> Item:
    end = lockout["locked_until"]
    ends = until(end, system_clock()) if end else None
    return {**lockout, "last": moment(lockout["last"]), "locked_until": ends}


LOCKOUTS = Resource(
    ("v1/lockouts",),
    {
        "subject": "SUBJECT",
        "who": "WHO",
        "count": "FAILURES",
        "last": "LAST",
        "locked_until": "ENDS",
    },
    _spoken,
)


@app.command(name="list")
async def list_(*, subject: Subject | None = None, as_json: AsJson = False) -> None:
    """List who failed to log in lately.

    Parameters
    ----------
    subject
        Only login names, only client addresses, or only names at an address.

    """
    await LOCKOUTS.every(subject=subject, as_json=as_json)


@app.command
async def clear(subject: Subject, who: str) -> None:
    """Forget the failures of a login name wherever it failed, or of a client address."""
    await LOCKOUTS.remove(subject, who)
