"""How the command shows things: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter

from kernel.model.reply import printable

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


def show(items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print ``items``: as JSON, or as a table of ``columns`` (heading by field)."""
    if as_json:
        show_json(items)
        return
    rows = [[plain(item.get(field)) for field in columns] for item in items]
    for line in table(list(columns.values()), rows):
        print(line)


def show_json(value: object) -> None:
    """Print ``value`` as JSON."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    print()


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield the lines of a table; one without rows says so."""
    if not rows:
        yield "none"
        return
    grid = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    for row in grid:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def plain(value: object) -> str:
    """Return ``value`` as one word or line, fit for a terminal."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(plain, value))
        case _:
            return printable(str(value))


def moment(text: str) -> str:
    """Return a point of time of the API as people write it, in UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def until(text: str, now: datetime) -> str:
    """Return how far off a point of time is: ``in 4m 10s``, or ``now`` once it is past."""
    left = datetime.fromisoformat(text) - now
    return f"in {span(left)}" if left > timedelta(0) else "now"


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units: ``2h 5m``."""
    seconds = int(length.total_seconds())
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])
