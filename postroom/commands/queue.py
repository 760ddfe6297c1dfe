"""`postroom queue`: mail that waits for its next attempt, and why."""

from typing import Annotated

from cyclopts import App, Parameter

from kernel.clock import system_clock
from postroom.client import Item, given, ledger
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
async def list_(*, domain: str = "", as_json: AsJson = False) -> None:
    """List what waits, soonest first.

    Parameters
    ----------
    domain
        Only mail for this domain.

    """
    async with ledger() as api:
        waiting = await api.every("v1/waiting", domain=domain)
    show(waiting, COLUMNS, as_json=as_json, spoken=_spoken)


@app.command
async def retry(
    leg: str = "",
    *,
    domain: str | None = None,
    sender: Annotated[str | None, Parameter(name="--from")] = None,
    mail: str | None = None,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
) -> None:
    """Try waiting mail at once, where its route leads by now.

    What its sender wants held goes only if it is named by its id.

    Parameters
    ----------
    leg
        The id of one leg, as `postroom queue` shows it.
    domain
        All that waits for this domain.
    sender
        All that waits of this sender; empty for reports.
    mail
        All legs of this mail.
    everything
        All that waits.

    """
    chosen = given(domain=domain, sender=sender, mail=mail) | ({"all": True} if everything else {})
    if bool(leg) == bool(chosen):
        raise ValueError("say what to try: a leg, or --domain, --from, --mail, or --all")
    async with ledger() as api:
        if leg:
            await api.post("v1/waiting", leg, "retry")
            print(f"{leg} is due now")
        else:
            made_due = (await api.post("v1/waiting/retry", body=chosen))["legs"]
            print(f"{made_due} {'leg is' if made_due == 1 else 'legs are'} due now")


def _spoken(leg: Item) -> Item:
    return {**leg, "sender": leg["sender"] or "<>", "due": until(leg["due"], system_clock())}
