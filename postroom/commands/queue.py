"""`postroom queue`: mail that waits for its next attempt, and why."""

from cyclopts import App

from kernel.clock import system_clock
from postroom.client import Item, ledger
from postroom.show import AsJson, show, until

app = App(name="queue")

COLUMNS = {
    "due": "DUE",
    "attempt": "ATTEMPT",
    "sender": "FROM",
    "recipients": "TO",
    "why": "WHY",
    "id": "LEG",
}


@app.default
async def list_(*, as_json: AsJson = False) -> None:
    """List what waits, soonest first."""
    async with ledger() as api:
        waiting = await api.every("v1/waiting")
    show(waiting, COLUMNS, as_json=as_json, spoken=_spoken)


@app.command
async def retry(leg: str) -> None:
    """Try a leg at once.

    Parameters
    ----------
    leg
        Its id, as `postroom queue` shows it.

    """
    async with ledger() as api:
        await api.post("v1/waiting", leg, "retry")
    print(f"{leg} is due now")


def _spoken(leg: Item) -> Item:
    return {**leg, "sender": leg["sender"] or "<>", "due": until(leg["due"], system_clock())}
