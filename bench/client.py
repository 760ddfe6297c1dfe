"""Measures what delivery's SMTP client costs: CPU time a message, next to aiosmtplib.

python -m bench.client [--turns 7] [--messages 1500] [--save] [--profile CASE FILE]

Both send message after message over one connection to a sink in a process of its own, which
understands just enough to say the right numbers. They take turns in one process, in an order that
changes. A client that can does it in fewer packets, so there are two sinks:

* ``data``: offers PIPELINING, as most servers do
* ``bdat``: offers CHUNKING too, as Exim, Postfix and the large providers do
"""

import argparse
import asyncio
import cProfile
import multiprocessing
import os
import platform
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib

from kernel.model.address import Address
from kernel.model.envelope import Envelope, Recipient, new_mail_id
from services.delivery.adapters.calling import call
from services.delivery.adapters.connection import Connection, Securing
from services.delivery.core.mailing import Mailing
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase, SmtpClient

RESULTS = Path(__file__).parent / "results-client.md"
TARGET = 0.4
CLIENTS = ("aiosmtplib", "ours")
_HELLO = b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n"
_CHUNKING = _HELLO.replace(b"250-SIZE", b"250-CHUNKING\r\n250-SIZE")
_LINE = b"It is a truth universally acknowledged, that a line has some seventy octets.\r\n"
_FIELDS = b"From: <ann@ours.test>\r\nSubject: bench\r\n\r\n"
_ANN, _BOB = Address("ann", "ours.test"), Address("bob", "far.test")

_NO_TLS = Securing(ssl.create_default_context())  # never asked for
_NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
_ID = new_mail_id(_NOW, os.urandom)

Send = Callable[[bytes], Awaitable[None]]
Close = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One kind of load. ``share`` is how many of --messages."""

    name: str
    size: int
    hello: bytes
    share: float = 1

    @property
    def content(self) -> bytes:
        """Lines of text, as many octets as it says."""
        return (_FIELDS + _LINE * (self.size // len(_LINE)))[: self.size - 2] + b"\r\n"


CASES = {
    "1k": Case("1 KiB, PIPELINING", 1024, _HELLO),
    "1k-bdat": Case("1 KiB, PIPELINING and CHUNKING", 1024, _CHUNKING),
    "50k": Case("50 KiB, PIPELINING", 51_200, _HELLO, 0.5),
    "50k-bdat": Case("50 KiB, PIPELINING and CHUNKING", 51_200, _CHUNKING, 0.5),
}


def main() -> None:
    """Let both have their turns; print the medians."""
    options = _options()
    if options.profile:
        asyncio.run(_profile(*options.profile, options.messages))
        return
    shown: dict[tuple[str, str], list[float]] = {}
    for turn in range(options.turns):
        for name, case in CASES.items():
            for client in CLIENTS[:: 1 if turn % 2 else -1]:
                spent = asyncio.run(_turn(client, case, int(options.messages * case.share)))
                shown.setdefault((name, client), []).append(spent)
                print(f"{name:9} {client:10} {spent:.3f} ms", file=sys.stderr, flush=True)
    text = f"{_heading(options)}\n\n{_table(shown)}\n"
    print(text)
    if options.save:
        RESULTS.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.client", description=__doc__)
    parser.add_argument("--turns", type=int, default=7, help="each client's turns")
    parser.add_argument("--messages", type=int, default=1500, help="small ones in a turn")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--profile", nargs=2, metavar=("CASE", "FILE"), help="cProfile of ours")
    return parser.parse_args()


async def _turn(client: str, case: Case, count: int) -> float:
    """Return CPU milliseconds a message, of this process alone."""
    with _sink(case.hello) as port:
        send, close = await (_ours(port) if client == "ours" else _theirs(port))
        content = case.content
        for _ in range(count // 10):
            await send(content)
        before = time.process_time_ns()
        for _ in range(count):
            await send(content)
        spent = time.process_time_ns() - before
        close()
    return spent / count / 1e6


async def _ours(port: int) -> tuple[Send, Close]:
    """All that delivery does for a message once it has a connection and the octets."""
    host = Host("sink.test", "127.0.0.1", port)
    line = (await call([host], "", 10.0))[1]
    timeouts = dict.fromkeys(Phase, 60.0)
    connection = Connection(SmtpClient("us.test"), host, timeouts, lambda _: None)
    await connection.open(line, _NO_TLS)

    async def send(content: bytes) -> None:
        envelope = Envelope(_ID, _ANN, (Recipient(_BOB),), content, _NOW)
        mailing = Mailing(envelope, content, eight_bit=not content.isascii())
        await connection.send(mailing, None)
        if not connection.client.replies[_BOB].is_positive:
            raise SystemExit(f"the sink says {connection.client.replies}")

    return send, connection.close


async def _theirs(port: int) -> tuple[Send, Close]:
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=port, local_hostname="us.test", start_tls=False
    )
    await client.connect()

    async def send(content: bytes) -> None:
        await client.sendmail("ann@ours.test", ["bob@far.test"], content)

    return send, client.close


@contextmanager
def _sink(hello: bytes) -> Iterator[int]:
    """Run a sink in a process of its own meanwhile; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, hello))
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.join()


def _serve(listener: socket.socket, hello: bytes) -> None:
    """Say the right numbers to one client: whatever comes in one packet is answered in one."""
    wire, _ = listener.accept()
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.sendall(b"220 sink.test\r\n")
    sink = _Sink(hello)
    while data := wire.recv(2**18):
        wire.sendall(sink.hear(data))


class _Sink:
    """Understands where commands and contents end, and nothing else."""

    def __init__(self, hello: bytes) -> None:
        self._hello = hello
        self._heard = b""
        self._in_content = False

    def hear(self, data: bytes) -> bytes:
        """Return what to answer."""
        self._heard += data
        answers = b""
        while answer := self._content() if self._in_content else self._command():
            answers += answer
        return answers

    def _content(self) -> bytes:
        _, end, rest = self._heard.partition(b"\r\n.\r\n")
        if not end:
            return b""
        self._heard, self._in_content = rest, False
        return b"250 2.0.0 Queued\r\n"

    def _command(self) -> bytes:
        line, end, rest = self._heard.partition(b"\r\n")
        size = int(line.split()[1]) if line.startswith(b"BDAT") else 0
        if not end or len(rest) < size:
            return b""
        self._heard = rest[size:]
        self._in_content = line == b"DATA"
        if self._in_content:
            return b"354 Go ahead\r\n"
        return self._hello if line.startswith(b"EHLO") else b"250 2.0.0 OK\r\n"


def _table(shown: dict[tuple[str, str], list[float]]) -> str:
    rows = [
        "| | aiosmtplib, ms | ours, ms | ours ÷ theirs | target |",
        "|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        theirs, ours = (shown[name, client] for client in CLIENTS)
        ratio = statistics.median(ours) / statistics.median(theirs)
        rows.append(
            f"| {case.name} | {_spread(theirs)} | {_spread(ours)} | **{ratio:.2f}** | {TARGET} |"
        )
    return "\n".join(rows)


def _spread(turns: list[float]) -> str:
    return f"{statistics.median(turns):.3f} ({min(turns):.3f} to {max(turns):.3f})"


def _heading(options: argparse.Namespace) -> str:
    return (
        f"# CPU of delivery's SMTP client, {datetime.now(UTC).date()}\n\n"
        f"`python -m bench.client`, {options.turns} turns each: median milliseconds of CPU a "
        f"message, and from the least to the\nmost. One reused connection, {options.messages} "
        f"messages of 1 KiB or half as many of 50 KiB in a turn. aiosmtplib\n"
        f"{aiosmtplib.__version__}, CPython {platform.python_version()}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f}."
    )


async def _profile(case: str, file: str, messages: int) -> None:
    """Write cProfile's statistics of ours under one case to ``file``."""
    with _sink(CASES[case].hello) as port:
        send, close = await _ours(port)
        with cProfile.Profile() as profile:
            for _ in range(messages):
                await send(CASES[case].content)
        profile.dump_stats(file)
        close()


if __name__ == "__main__":
    main()
