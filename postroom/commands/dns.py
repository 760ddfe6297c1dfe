"""`postroom dns`: what DNS should say of a domain of ours, what it says, and what to publish."""

from collections.abc import Iterator

from cyclopts import App

from postroom.client import Item, auth
from postroom.show import AsJson, plain, say, show_json, table

app = App(name="dns")

NOT_IN_ORDER = 1
"""The exit code that says: something is missing or wrong."""
NOT_KNOWN = 3
"""The exit code that says: DNS did not answer all that was asked."""
_ALARMS = ("missing", "wrong")
_UNKNOWN = "unknown"


@app.command
async def check(domain: str, *, as_json: AsJson = False) -> int:
    """Ask DNS about a domain; fail if something is missing or wrong.

    Parameters
    ----------
    domain
        A domain of ours.

    """
    async with auth() as api:
        checked = await api.get("v1/domains", domain, "dns")
    if as_json:
        show_json(checked)
    else:
        _show(checked)
    if not checked["in_order"]:
        return NOT_IN_ORDER
    unknown = any(finding["state"] == _UNKNOWN for finding in checked["findings"])
    return NOT_KNOWN if unknown else 0


def _show(checked: Item) -> None:
    addresses = plain(checked["addresses"])
    say(f"{plain(checked['domain'])}: we are {plain(checked['hostname'])} at {addresses}")
    say("")
    findings = checked["findings"]
    rows = [[plain(f["check"]), plain(f["state"]), plain(f["why"])] for f in findings]
    alarms = [False, *(finding["state"] in _ALARMS for finding in findings)]
    for line, alarm in zip(table(["CHECK", "STATE", "WHY"], rows), alarms, strict=True):
        say(line, alarm=alarm)
    for line in _details(findings):
        say(line)


def _details(findings: list[Item]) -> Iterator[str]:
    """Yield what is there and what should be, for all that is not as it should be."""
    for finding in findings:
        if not finding["publish"]:
            continue
        yield ""
        yield f"{plain(finding['check'])}:"
        yield from (f"  found    {plain(text)}" for text in finding["found"])
        yield from (f"  publish  {_as_in_a_zone(record)}" for record in finding["publish"])


def _as_in_a_zone(record: Item) -> str:
    strings = " ".join(f'"{text}"' for text in record["strings"])
    return plain(f"{record['name']}. {record['type']} {strings or record['text']}")
