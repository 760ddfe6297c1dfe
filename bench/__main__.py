"""``make bench``: measures Postfix and Postroom in turn, and prints a table.

python -m bench [--servers postfix,embedded,brokered] [--repeat 3] [--messages 4000] [--save]
"""

import argparse
import json
import platform
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.accounting import Group
from bench.load import Case, Figures, measure, sink
from bench.servers import SERVERS
from tests.support import postfix
from tests.support.ports import free_port

RESULTS = Path(__file__).parent / "results.md"
TITLES = {
    "postfix": "Postfix, tuned",
    "embedded": "Postroom, one process (SQLite, files)",
    "brokered": "Postroom on RabbitMQ and PostgreSQL (both counted in)",
}


def main() -> None:
    """Measure, print, and save if asked to."""
    options = _options()
    postfix.install_postfix()
    cases = (
        Case("one message a connection", options.messages),
        Case("connections kept open", options.messages, keep_open=True),
    )
    runs: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(options.repeat):
        for server in options.servers.split(","):
            for case, figures in _visit(server, cases):
                runs.setdefault((case.name, server), []).append(figures)
                print(f"{server:9} {case.name:25} {_numbers(figures)}", file=sys.stderr, flush=True)
    table = "\n\n".join(_table(case, runs) for case in cases)
    print(table)
    if options.save:
        RESULTS.write_text(f"{_heading(options)}\n\n{table}\n")
        raw = {
            f"{case}: {server}": list(map(asdict, all_)) for (case, server), all_ in runs.items()
        }
        RESULTS.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--repeat", type=int, default=3, help="each server's turns; medians count")
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    return parser.parse_args()


def _visit(server: str, cases: tuple[Case, ...]) -> list[tuple[Case, Figures]]:
    """Start ``server``, warm it up, put every case to it, stop it."""
    group, port = Group(server), free_port()
    with sink(port) as target, SERVERS[server](port, group) as smtp_port:
        measure(Case("warm-up", 500), smtp_port, target, group)
        return [(case, measure(case, smtp_port, target, group)) for case in cases]


def _table(case: Case, runs: dict[tuple[str, str], list[Figures]]) -> str:
    rows = [
        f"### {case.size // 1024} KiB, {case.sessions} sessions, {case.name}",
        "",
        "| server | accepted/s | end to end/s | ÷ Postfix | CPU ms/message | memory MiB |",
        "|---|---|---|---|---|---|",
    ]
    medians = {server: _median(all_) for (name, server), all_ in runs.items() if name == case.name}
    yardstick = medians.get("postfix")
    for server, figures in medians.items():
        ratio = figures.end_to_end_rate / yardstick.end_to_end_rate if yardstick else float("nan")
        rows.append(
            f"| {TITLES[server]} | {figures.accept_rate:,.0f} | {figures.end_to_end_rate:,.0f} "
            f"| {ratio:.2f} | {figures.cpu_ms:.2f} | {figures.memory_mib:.0f} |"
        )
    return "\n".join(rows)


def _median(figures: list[Figures]) -> Figures:
    columns = {key: [asdict(one)[key] for one in figures] for key in asdict(figures[0])}
    return Figures(**{key: statistics.median(values) for key, values in columns.items()})


def _numbers(figures: Figures) -> str:
    return (
        f"accept {figures.accept_rate:6.0f}/s  end to end {figures.end_to_end_rate:6.0f}/s  "
        f"cpu {figures.cpu_ms:5.2f} ms  memory {figures.memory_mib:4.0f} MiB"
    )


def _heading(options: argparse.Namespace) -> str:
    today = datetime.now(UTC).date()
    return (
        f"# Results of {today}\n\n"
        f"`make bench`, {options.repeat} turns each, medians; CPython {platform.python_version()}, "
        f"Linux, 2 cores. Every server answers 250 only after an fsync. Load (smtp-source), sink\n"
        f"(smtp-sink) and server share the machine: compare the ratios, not the absolute figures."
    )


if __name__ == "__main__":
    main()
