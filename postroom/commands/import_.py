"""`postroom import`: takes users over from another server, with the passwords they have."""

import asyncio
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from postroom.client import auth
from postroom.importing import Reading, Style, read_users
from postroom.show import AsJson, show
from postroom.takeover import Outcome, Takeover

COLUMNS = {"line": "LINE", "who": "WHO", "deed": "BECAME", "why": "WHY"}


async def import_(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    style: Annotated[Style | None, Parameter(name="--format")] = None,
    domain: str = "",
    update: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Take over users from a file; fail if any could not be.

    Parameters
    ----------
    file
        A CSV file whose header row has some of these columns: login, address, password,
        password_hash, full_name, may_relay, administrator, disabled, send_as, quota, aliases.
        Or a passwd-style file, with lines such as `ann:{SSHA}...:::Ann Example::` or
        `ann@example.org:$6$...`. Or `-` for what comes in.
    style
        How it is written; seen from its first line if not given.
    domain
        The domain of users who stand there without one.
    update
        Make those who exist already as the file says, passwords too; else they are left.
    dry_run
        Change nothing, and say what would become of each.

    """
    reading = read_users(await asyncio.to_thread(_octets, file), style, domain)
    async with auth() as api:
        takeover = Takeover(api, update=update, trial=dry_run)
        takeover.pass_over(reading.faults)
        try:
            await takeover.bring(reading.entries)
        finally:
            _show(takeover.outcomes, as_json=as_json)
    print(_summary(reading, takeover), file=sys.stderr)
    return 1 if any(outcome.deed == "failed" for outcome in takeover.outcomes) else 0


def _octets(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _show(outcomes: list[Outcome], *, as_json: bool) -> None:
    found = sorted(outcomes, key=lambda outcome: outcome.line)
    items = [asdict(o) | {"failed": o.deed == "failed"} for o in found]
    show(items, COLUMNS, as_json=as_json, alarms=("failed",))


def _summary(reading: Reading, takeover: Takeover) -> str:
    deeds = Counter(outcome.deed for outcome in takeover.outcomes)
    said = ", ".join(f"{count} {deed}" for deed, count in deeds.items()) or "nobody is in it"
    trial = " (a trial: nothing is changed)" if takeover.trial else ""
    return f"read as {reading.encoding}: {said}{trial}"
