"""`postroom status` and `queues`: whether everything works."""

from postroom.client import Item, auth, ledger
from postroom.show import AsJson, show, show_json

QUEUES = {"name": "QUEUE", "ready": "READY", "taken": "TAKEN", "consumers": "CONSUMERS"}


async def queues(*, as_json: AsJson = False) -> None:
    """List the queues of the bus."""
    async with ledger() as api:
        found = await api.get("v1/queues")
    if as_json:
        show_json(found)
        return
    show(found["items"], QUEUES, as_json=False)
    print(f"parked: {found['parked']}")


async def status(*, as_json: AsJson = False) -> int:
    """Say whether everything works; fail if it does not."""
    async with auth() as api:
        await api.get("v1/whoami")
    async with ledger() as api:
        balance = await api.get("v1/balance")
        found = await api.get("v1/queues")
    troubles = troubles_of(found)
    if as_json:
        show_json({"troubles": troubles, "balance": balance, "queues": found["items"]})
    else:
        show([balance], {name: name.upper() for name in balance}, as_json=False)
        print(*(troubles or ["everything works"]), sep="\n")
    return 1 if troubles else 0


def troubles_of(found: Item) -> list[str]:
    """Return what is wrong with the bus, judged by its queues."""
    idle = [queue["name"] for queue in found["items"] if not queue["consumers"]]
    troubles = [f"nobody works on {name}" for name in idle if name != "parked"]
    if found["parked"]:
        troubles.append(f"{found['parked']} events are parked: see `postroom parked`")
    return troubles
