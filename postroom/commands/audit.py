"""`postroom audit`: who changed what, and when."""

from collections.abc import Iterator

from kernel.clock import system_clock
from postroom.client import Item, auth
from postroom.show import AsJson, moment, plain, show
from postroom.values import When, before

COLUMNS = {
    "at": "WHEN",
    "who": "WHO",
    "client": "FROM",
    "action": "DID",
    "kind": "TO",
    "key": "WHICH",
    "changes": "WHAT",
}


async def audit(
    *,
    kind: str = "",
    key: str = "",
    who: str = "",
    since: When | None = None,
    until: When | None = None,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """Say who changed what, newest first.

    Parameters
    ----------
    kind
        Only what happened to such things: users, domains, listeners, ...
    key
        Only what happened to the thing of this name.
    who
        Only what this administrator (or API key) did.
    since
        Only from then on: a date, or `2h` for the last two hours.
    until
        Only up to then.
    limit
        How many.

    """
    now = system_clock()
    query = {
        "kind": kind,
        "key": key,
        "who": who,
        "since": before(now, since) if since is not None else None,
        "until": before(now, until) if until is not None else None,
        "limit": limit,
    }
    async with auth() as api:
        found = (await api.get("v1/audit", **query))["items"]
    show(found, COLUMNS, as_json=as_json, spoken=_spoken)


def _spoken(entry: Item) -> Item:
    changes = [*changes_of(entry["before"] or {}, entry["after"] or {})]
    return {**entry, "at": moment(entry["at"]), "changes": "; ".join(changes)}


def changes_of(before: Item, after: Item) -> Iterator[str]:
    """Yield what is different now; of something new or gone, only what it was not by default."""
    for field in dict.fromkeys((*before, *after)):
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if before and after:
            yield f"{field} {plain(old)} -> {plain(new)}"
        elif value := new or old:
            yield f"{field} {plain(value)}"
