"""Measures what strangers who stay cost: memory of each, and the honest mail beside them.

    .venv/bin/python -m bench.crowd [--idle 10000] [--slow 1000] [--tls]

Ingress runs in a process of its own, with a small auth and a bus in memory: whatever the crowd
costs weighs as much as it can. The crowd is another process: some say nothing, some sit in DATA
and send an octet now and then. Ten sessions send honest mail, before, beside and after it.
"""

import argparse
import asyncio
import logging
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import structlog

from tests.dialogs.house import LIMITS, MX, open_house

SESSIONS = 10
ENVELOPE = b"MAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\nDATA\r\n"
MAIL = ENVELOPE + b"Subject: hi\r\n\r\n" + b"x" * 1_000 + b"\r\n.\r\n"
REPLIES = 4
DRIP = 5.0
"""Seconds between two octets of a slow client."""
_MANY = 100_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figures:
    """What honest mail has seen. CPU is that of ingress."""

    rate: float
    cpu_ms: float
    median_ms: float

    def __str__(self) -> str:
        return f"{self.rate:6.0f} mails/s, {self.cpu_ms:.2f} ms CPU, median {self.median_ms:.1f} ms"


def main() -> None:
    """Play the part that the options name; without one, measure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    options = _options()
    if options.part == "serve":
        asyncio.run(_serve())
    elif options.part == "crowd":
        asyncio.run(_gather(options))
    else:
        asyncio.run(_measure(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=1_000)
    parser.add_argument("--tls", action="store_true", help="the idle ones have shaken hands")
    parser.add_argument("--seconds", type=float, default=5, help="how long each run takes")
    parser.add_argument("--part", choices=["serve", "crowd"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


async def _serve() -> None:
    """Run ingress until nobody wants it, and say where it listens."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        async with open_house(Path(folder), max_octets=2**30) as house:
            room = {"max_connections": _MANY, "max_connections_per_ip": _MANY}
            await house.change(MX.name, **room, max_recipients=LIMITS[2])
            print(house.address()[1], flush=True)
            await asyncio.to_thread(sys.stdin.read)


async def _gather(options: argparse.Namespace) -> None:
    """Be the crowd until nobody wants it, and say when everybody has come."""
    come = _come_with_tls if options.tls else _come
    idle = [await come(options.port) for _ in range(options.idle)]
    print("idle", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    slow = [await _come(options.port) for _ in range(options.slow)]
    for reader, writer in slow:
        writer.write(b"EHLO slow.example\r\n" + ENVELOPE)
        await _hear(reader, REPLIES)
    print("slow", flush=True)
    async with asyncio.TaskGroup() as group:
        dripping = group.create_task(_drip([writer for _, writer in slow]))
        await asyncio.to_thread(sys.stdin.read)
        dripping.cancel()
    for _, writer in [*idle, *slow]:
        writer.transport.abort()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _come(port: int) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _hear(reader, 1)
    return reader, writer


async def _come_with_tls(port: int) -> Streams:
    reader, writer = await _come(port)
    writer.write(b"STARTTLS\r\n")
    await _hear(reader, 1)
    await writer.start_tls(ssl._create_unverified_context())  # noqa: SLF001 - our own server
    return reader, writer


async def _drip(writers: list[asyncio.StreamWriter]) -> None:
    for writer in cycle(writers):
        writer.write(b"x")
        await asyncio.sleep(DRIP / len(writers))


async def _hear(reader: asyncio.StreamReader, replies: int) -> None:
    while replies:
        line = await reader.readline()
        assert line.startswith((b"2", b"3")), f"the server said {line!r}"
        replies -= line[3:4] == b" "


async def _measure(options: argparse.Namespace) -> None:
    with _running("--part=serve") as server:
        port, pid = int(_heard(server)), server.pid

        async def honest() -> Figures:
            return await _send(port, pid, options.seconds)

        await honest()  # warms up
        before = await honest()
        print(f"alone    {before}", flush=True)
        beside = await _beside_the_crowd(options, server, port, honest)
        await asyncio.sleep(3)
        after = await honest()
        print(f"after    {after}")
        quiet = statistics.mean((before.rate, after.rate))
        cpu = statistics.mean((before.cpu_ms, after.cpu_ms))
        print(f"beside the crowd: rate {beside.rate / quiet:.2f}x, CPU {beside.cpu_ms / cpu:.2f}x")


async def _beside_the_crowd(
    options: argparse.Namespace,
    server: subprocess.Popen[str],
    port: int,
    honest: Callable[[], Awaitable[Figures]],
) -> Figures:
    memory = _resident(server.pid)
    words = [f"--part=crowd --port={port} --idle={options.idle} --slow={options.slow}"]
    words += ["--tls"] if options.tls else []
    with _running(*" ".join(words).split()) as crowd:
        await asyncio.to_thread(_heard, crowd)
        each = (_resident(server.pid) - memory) / max(1, options.idle) / 1024
        print(f"{options.idle} idle: {each:.1f} KiB each", flush=True)
        print("slow", file=crowd.stdin, flush=True)
        await asyncio.to_thread(_heard, crowd)
        beside = await honest()
        print(f"beside   {beside}", flush=True)
    return beside


async def _send(port: int, pid: int, seconds: float) -> Figures:
    """Send honest mail for so long."""
    cpu, began = _cpu(pid), time.monotonic()
    waits = await asyncio.gather(*(_session(port, began + seconds) for _ in range(SESSIONS)))
    took, times = time.monotonic() - began, [wait for each in waits for wait in each]
    spent = (_cpu(pid) - cpu) * 1_000 / len(times)
    return Figures(len(times) / took, spent, statistics.median(times) * 1_000)


async def _session(port: int, until: float) -> list[float]:
    reader, writer = await _come(port)
    writer.write(b"EHLO honest.example\r\n")
    await _hear(reader, 1)
    waits = []
    while (began := time.monotonic()) < until:
        writer.write(MAIL)
        await _hear(reader, REPLIES)
        waits.append(time.monotonic() - began)
    writer.close()
    return waits


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.crowd", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


def _heard(process: subprocess.Popen[str]) -> str:
    """Return the next line of ``process`` that is no line of a log."""
    for line in process.stdout:
        if line.strip().isalnum():
            return line.strip()
    raise SystemExit("a part of the measurement has died")


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
