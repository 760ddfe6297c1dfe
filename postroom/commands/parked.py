"""`postroom parked`: events that nobody could handle, and why."""

from cyclopts import App

from postroom.client import ledger
from postroom.show import AsJson, show

app = App(name="parked")

COLUMNS = {"queue": "QUEUE", "mail": "MAIL", "why": "WHY", "key": "KEY"}


@app.default
async def list_(*, as_json: AsJson = False) -> int:
    """List what is parked, oldest first; fail if there is any."""
    async with ledger() as api:
        parked = await api.every("v1/parked")
    show(parked, COLUMNS, as_json=as_json)
    return 1 if parked else 0


@app.command
async def replay(key: str) -> None:
    """Put a parked event back on its queue, once what was wrong with it is mended.

    Parameters
    ----------
    key
        Its key, as `postroom parked` shows it.

    """
    async with ledger() as api:
        await api.post("v1/parked", key, "replay")
    print(f"{key} is on its queue again")
