"""Measures whether a slow site keeps mail from the others, and what waiting for it costs.

    .venv/bin/python -m bench.sites [--sites 100] [--each 200] [--flood 10000] [--delay 30]

Postroom runs as one process with its defaults, on SQLite and files. The sites are servers on
127.0.1.x, in this process; legs are put on the bus, so that nothing but sending is measured. In
turn all sites are fast, and one of them takes ``--delay`` seconds for each message; what counts is
how long the mail for the others takes. In the end the slow one has ``--flood`` messages, and what
comes and goes while they wait is counted.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import tempfile
import time
import urllib.request
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from kernel.bus import sqlite
from kernel.clock import system_clock
from kernel.model.address import Address
from kernel.model.envelope import Envelope, Recipient
from kernel.model.events import MailRouted, Remote
from tests.support.sites import RemoteSite, remote_site
from tests.support.stack import Stack, make_stack

PORT = 2599
SENDER = Address("ann", "ours.test")
BODY = b"From: ann@ours.test\r\nSubject: hello\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20
AT_ONCE = 500
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figures:
    """How fast the others had their mail, what CPU each message took, and legs put off so far.

    Then, while the rest waits, legs put off and released a second.
    """

    rate: float
    cpu_ms: float
    so_far: float
    put_off: float
    released: float

    def __str__(self) -> str:
        return (
            f"{self.rate:6.0f} mails/s to the others, {self.cpu_ms:.2f} ms CPU each, "
            f"{self.so_far:.0f} legs put off; then {self.put_off:.0f} put off and "
            f"{self.released:.0f} released a second"
        )


@dataclass(frozen=True, slots=True)
class Case:
    """What the first site is like."""

    delay: float
    messages: int


def main() -> None:
    """Measure in turns, and print."""
    options = _options()
    cases = {
        "fast": Case(0.0, options.own),
        "slow": Case(options.delay, options.own),
        "flood": Case(options.delay, options.flood),
    }
    order = ["fast", "slow", "slow", "fast"] * options.repeat + ["flood"] * bool(options.flood)
    seen: dict[str, list[Figures]] = {case: [] for case in cases}
    for case in order:
        figures = asyncio.run(_visit(options, cases[case]))
        seen[case].append(figures)
        print(f"{case:5} {figures}", flush=True)
    rate, cpu = (_ratio(seen, what) for what in ("rate", "cpu_ms"))
    print(f"beside the slow site: {rate:.2f} times as many mails/s, {cpu:.2f} times the CPU each")


def _ratio(seen: dict[str, list[Figures]], what: str) -> float:
    fast, slow = (
        statistics.median(getattr(figures, what) for figures in seen[case])
        for case in ("fast", "slow")
    )
    return slow / fast


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.sites", description=__doc__)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--each", type=int, default=200, help="messages for each of the others")
    parser.add_argument("--own", type=int, default=60, help="messages for the slow one")
    parser.add_argument("--flood", type=int, default=10_000, help="... and in the end")
    parser.add_argument("--delay", type=float, default=30.0, help="seconds that each takes there")
    parser.add_argument("--watch", type=float, default=20.0, help="seconds to watch what waits")
    parser.add_argument("--repeat", type=int, default=2)
    return parser.parse_args()


async def _visit(options: argparse.Namespace, case: Case) -> Figures:
    """Run a server of its own against the sites."""
    folder = Path(tempfile.mkdtemp(prefix="bench-sites-", dir="/var/tmp"))
    hosts = [f"127.0.1.{number + 1}" for number in range(options.sites)]
    routes = {f"site{n}.test": f"{host}:{PORT}" for n, host in enumerate(hosts)}
    async with AsyncExitStack() as exits:
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        sites = [
            await exits.enter_async_context(
                remote_site(host=host, port=PORT, delay=0.0 if n else case.delay)
            )
            for n, host in enumerate(hosts)
        ]
        stack = make_stack("embedded", folder, routes=json.dumps(routes), log_level="WARNING")
        exits.callback(stack.stop)
        await asyncio.to_thread(stack.start)
        return await _pour(options, stack, sites, case)


async def _pour(
    options: argparse.Namespace, stack: Stack, sites: list[RemoteSite], case: Case
) -> Figures:
    """Put the legs on the bus, in no order, and wait for the mail of the fast sites."""
    legs = [_leg(n, i) for n in range(1, options.sites) for i in range(options.each)]
    legs += [_leg(0, i) for i in range(case.messages)]
    random.Random(1).shuffle(legs)
    wanted = (options.sites - 1) * options.each
    others = sites[1:]
    async with sqlite.connect(f"sqlite:///{stack.folder}/var/bus.db") as bus:
        began, cpu = time.monotonic(), _cpu(stack)
        for at in range(0, len(legs), AT_ONCE):
            await bus.publish(*legs[at : at + AT_ONCE])
        while sum(site.messages for site in others) < wanted:  # noqa: ASYNC110 - sites do not tell
            await asyncio.sleep(0.01)
        rate = wanted / (time.monotonic() - began)
        cpu_ms = (_cpu(stack) - cpu) * 1_000 / wanted
    before = await asyncio.to_thread(_counts, stack)
    await asyncio.sleep(options.watch if case.delay else 0.1)
    after = await asyncio.to_thread(_counts, stack)
    put_off, released = ((b - a) / options.watch for a, b in zip(before, after, strict=True))
    return Figures(rate, cpu_ms, before[0], put_off, released)


def _leg(site: int, number: int) -> MailRouted:
    recipient = Recipient(Address(f"u{number}", f"site{site}.test"))
    name = f"{site:06d}{number:020d}"
    envelope = Envelope(name, SENDER, (recipient,), BODY, system_clock())
    return MailRouted(envelope, Remote(f"site{site}.test"))


def _cpu(stack: Stack) -> float:
    """Return the CPU time that the server has had, in seconds."""
    pid = stack.programs["all"].process.pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _counts(stack: Stack) -> tuple[float, float]:
    """Return how many legs were put off so far, and how many came back."""
    url = f"{stack.programs['all'].health}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return (
        _total(lines, "postroom_delivery_put_off_total"),
        _total(lines, "postroom_ledger_released_total"),
    )


def _total(lines: list[str], name: str) -> float:
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
