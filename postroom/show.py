"""How the command shows things: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from kernel.model.reply import printable

AsJson = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON.")
]
Words = Annotated[tuple[str, ...], Parameter(negative_iterable="", show_default=False)]
"""The words of an option that may be given more than once."""
Shown = dict[str, Any]


def as_it_is(item: Shown) -> Shown:
    """Return ``item``, which needs no translation."""
    return item


def show(
    items: Sequence[Shown],
    columns: Mapping[str, str],
    *,
    as_json: bool,
    spoken: Callable[[Shown], Shown] = as_it_is,
    alarms: Collection[str] = (),
) -> None:
    """Print ``items``: as JSON, or as a table of ``columns`` (heading by field).

    People read them as ``spoken``. A field of ``alarms`` that is true puts its line in red.
    """
    if as_json:
        show_json(items)
        return
    rows = [[plain(item.get(field)) for field in columns] for item in map(spoken, items)]
    red = [False, *(any(item.get(field) for field in alarms) for item in items)]
    for line, alarm in zip(table(list(columns.values()), rows), red, strict=False):
        say(line, alarm=alarm)


def show_one(
    item: Shown,
    *,
    as_json: bool,
    spoken: Callable[[Shown], Shown] = as_it_is,
    alarms: Collection[str] = (),
) -> None:
    """Print all that there is to say about ``item``."""
    if as_json:
        show_json(item)
        return
    shown = spoken(item)
    rows = [[name, plain(value)] for name, value in shown.items()]
    red = [False, *(name in alarms and bool(item[name]) for name in shown)]
    for line, alarm in zip(table(["SETTING", "VALUE"], rows), red, strict=False):
        say(line, alarm=alarm)


def say(line: str, *, alarm: bool = False) -> None:
    """Print a line; an alarm in red where there are colours."""
    if not alarm:
        print(line)
        return
    Console(soft_wrap=True, highlight=False).print(Text(line, style="bold red"))


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
    widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
    for row in grid:
        cells = zip(row, widths, strict=True)
        yield "  ".join(word + " " * (width - cell_len(word)) for word, width in cells).rstrip()


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


def moment(text: str | None) -> str:
    """Return a point of time of the API as people write it, in UTC."""
    return "-" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


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
