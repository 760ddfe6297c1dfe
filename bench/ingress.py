"""Measures what ingress costs: CPU time of its process alone, next to stock aiosmtpd.

python -m bench.ingress [--turns 3] [--messages 1500] [--cases reused,large] [--save]
                        [--spread] [--profile CASE FILE]

Everything shares one core, unless --spread. On two that have little to do, half of what is measured
is the kernel and the hypervisor waking a core that has gone to sleep, four times a message: a
server's own work, done in cold caches then, can cost twice as much as when it is busy.

One client sends mail after mail: one command at a time, or, where PIPELINING is offered, as most
servers send to one another: the envelope in one write. The servers, each a process that is started
anew for each turn. All of them run at once and get a few messages each in turn, so that whatever
else the machine does meets all of them alike:

* ``stock``: aiosmtpd 1.4.6 with its own handler that takes everything and keeps nothing
* ``floor``: an asyncio protocol that says the right number to each packet and understands nothing:
  what Python and the kernel take for themselves
* ``wire``: ingress with an auth that always says yes and a store that keeps nothing, both in
  memory, and no log: the same work as ``stock`` does
* ``whole``: ingress as it is served: asks over HTTP (an auth of simple rules in a process of its
  own), fsyncs to the bus on SQLite, stores large messages as files, writes its log
"""

import argparse
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from bench.ingress_servers import TOKEN
from tests.support.ports import free_port

RESULTS = Path(__file__).parent / "results-ingress.md"
PATIENCE = 30.0  # seconds until a server has started
SERVERS = ("stock", "floor", "wire", "whole")
_ROUNDS = 10  # in which the messages of a turn are sent, to each server in its turn
_CPU_CLOCK = 2  # of a process with all its threads, as in clock_getcpuclockid(3)
_LINE = b"It is a truth universally acknowledged, that a line has some seventy octets.\r\n"
_SMALL = (b"From: <bob@far.test>\r\nSubject: bench\r\n\r\n" + _LINE * 13)[:1022] + b"\r\n"
_LARGE = b"From: <bob@far.test>\r\nSubject: bench\r\n\r\n" + _LINE * (5_000_000 // len(_LINE))
_ENVELOPE = (
    (b"MAIL FROM:<bob@far.test>\r\n", b"250"),
    (b"RCPT TO:<ann@ours.test>\r\n", b"250"),
    (b"DATA\r\n", b"354"),
)


@dataclass(frozen=True)
class Case:
    """One kind of load. ``share`` is how many of --messages; ``target`` is relative to stock."""

    name: str
    content: bytes
    share: float
    target: float
    keeps_open: bool = True
    pipelines: bool = False


CASES = {
    "reused": Case("1 KiB, connection reused", _SMALL, 1, 0.5),
    "reused-p": Case("the same, pipelined where offered", _SMALL, 1, 0.5, pipelines=True),
    "single": Case("1 KiB, one message a connection", _SMALL, 0.6, 0.7, keeps_open=False),
    "single-p": Case(
        "the same, pipelined where offered", _SMALL, 0.6, 0.7, keeps_open=False, pipelines=True
    ),
    "large": Case("5 MB, connection reused", _LARGE, 0.02, 0.25),
}


class Client:
    """Sends mail. Unless it pipelines, each command waits for the answer to the one before."""

    def __init__(self, port: int, *, pipelines: bool) -> None:
        self._wire = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers: BinaryIO = self._wire.makefile("rb")
        self._hear(b"220")
        offers = self._ask(b"EHLO client.test\r\n", b"250")
        self._pipelines = pipelines and any(b"PIPELINING" in line for line in offers)

    def send(self, content: bytes) -> None:
        """Send one message."""
        if self._pipelines:
            self._wire.sendall(b"".join(command for command, _ in _ENVELOPE))
            for _, code in _ENVELOPE:
                self._hear(code)
        else:
            for command, code in _ENVELOPE:
                self._ask(command, code)
        self._ask(content + b".\r\n", b"250")

    def close(self) -> None:
        """Say goodbye."""
        self._ask(b"QUIT\r\n", b"221")
        self._answers.close()
        self._wire.close()

    def _ask(self, octets: bytes, code: bytes) -> list[bytes]:
        self._wire.sendall(octets)
        return self._hear(code)

    def _hear(self, code: bytes) -> list[bytes]:
        lines = [self._answers.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(self._answers.readline())
        if lines[-1][:3] != code:
            raise SystemExit(f"the server says {lines[-1]!r}")
        return lines


def main() -> None:
    """Let every server have its turns; print the medians."""
    options = _options()
    if not options.spread:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.profile:
        _profile(*options.profile, options.messages)
        return
    shown: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.turns):
        for (case, server), milliseconds in _turn(options.cases, options.messages):
            shown.setdefault((case, server), []).append(milliseconds)
            print(f"{server:6} {case:8} {milliseconds:8.3f} ms", file=sys.stderr, flush=True)
    text = f"{_heading(options)}\n\n{_table(shown)}\n"
    print(text)
    if options.save:
        RESULTS.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.ingress", description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="each server's turns")
    parser.add_argument("--messages", type=int, default=1500, help="small ones in a turn")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--spread", action="store_true", help="use all cores")
    parser.add_argument("--profile", nargs=2, metavar=("CASE", "FILE"), help="cProfile of wire")
    return parser.parse_args()


def _turn(cases: Sequence[str], messages: int) -> Iterator[tuple[tuple[str, str], float]]:
    """Start the servers, and put every case to them; yield CPU milliseconds a message."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(_started(name)) for name in SERVERS}
        for name in cases:
            for server, milliseconds in _costs(CASES[name], running, messages).items():
                yield (name, server), milliseconds


def _costs(
    case: Case, running: Mapping[str, tuple[int, int]], messages: int
) -> Mapping[str, float]:
    count = max(1, int(messages * case.share) // _ROUNDS)
    seconds = dict.fromkeys(running, 0.0)
    for _, port in running.values():
        _load(port, case, count)
    for number in range(_ROUNDS):
        for server, (pid, port) in sorted(running.items(), reverse=bool(number % 2)):
            before = _cpu_seconds(pid)
            _load(port, case, count)
            seconds[server] += _cpu_seconds(pid) - before
    return {server: spent / count / _ROUNDS * 1000 for server, spent in seconds.items()}


def _load(port: int, case: Case, count: int) -> None:
    if case.keeps_open:
        client = Client(port, pipelines=case.pipelines)
        for _ in range(count):
            client.send(case.content)
        client.close()
        return
    for _ in range(count):
        client = Client(port, pipelines=case.pipelines)
        client.send(case.content)
        client.close()


def _cpu_seconds(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK)


@contextmanager
def _started(server: str) -> Iterator[tuple[int, int]]:
    with TemporaryDirectory() as folder, _running(server, Path(folder)) as found:
        yield found


@contextmanager
def _running(server: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run ``server`` meanwhile; yield its process and port."""
    port, auth_port = free_port(), free_port()
    if server != "whole":
        with _process(["bench.ingress_servers", server, str(port)], {}, port) as pid:
            yield pid, port
        return
    environment = {
        "POSTROOM_AUTH_URL": f"http://127.0.0.1:{auth_port}",
        "POSTROOM_BLOBS_URL": f"file:///{folder}/blobs",
        "POSTROOM_BUS_URL": f"sqlite:///{folder}/bus.db",
        "POSTROOM_DOMAIN": "ours.test",
        "POSTROOM_HEALTH_LISTEN": "",
        "POSTROOM_HOSTNAME": "mx.ours.test",
        "POSTROOM_INGRESS_LISTEN_MX": f"127.0.0.1:{port}",
        "POSTROOM_INGRESS_LISTEN_SUBMISSION": "",
        "POSTROOM_INGRESS_LISTEN_SUBMISSIONS": "",
        "POSTROOM_INGRESS_SELF_TEST": "false",
        "POSTROOM_SERVICE_TOKEN": TOKEN,
        "POSTROOM_TLS_FOLDER": f"{folder}/tls",
    }
    auth = ["bench.ingress_servers", "auth", str(auth_port)]
    with _process(auth, {}, auth_port), _process(["services.ingress"], environment, port) as pid:
        yield pid, port


@contextmanager
def _process(argv: list[str], environment: dict[str, str], port: int) -> Iterator[int]:
    """Run a Python module meanwhile; wait until it listens."""
    command, environment = [sys.executable, "-m", *argv], {**os.environ, **environment}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            _wait_for(lambda: _answers(port))
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)  # cProfile writes then, and not at SIGTERM


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("a server does not start")
        time.sleep(0.1)
    time.sleep(1)  # it also has its start-up to finish, which is none of its cost


def _table(shown: dict[tuple[str, str], list[float]]) -> str:
    rows = [
        "| | stock, ms | floor ÷ | on the wire, ms | ÷ stock | target | as served, ms | ÷ stock |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        if (name, SERVERS[0]) not in shown:
            continue
        stock, floor, wire, whole = (shown[name, server] for server in SERVERS)
        base = statistics.median(stock)
        least, ours, served = (statistics.median(one) / base for one in (floor, wire, whole))
        rows.append(
            f"| {case.name} | {_spread(stock)} | {least:.2f} | {_spread(wire)} | **{ours:.2f}** "
            f"| {case.target} | {_spread(whole)} | {served:.2f} |"
        )
    return "\n".join(rows)


def _spread(turns: list[float]) -> str:
    return f"{statistics.median(turns):.2f} ({min(turns):.2f} to {max(turns):.2f})"


def _heading(options: argparse.Namespace) -> str:
    return (
        f"# CPU of ingress alone, {datetime.now(UTC).date()}\n\n"
        f"`python -m bench.ingress`, {options.turns} turns each: median milliseconds of CPU a "
        f"message, and from the\nleast to the most. CPython {platform.python_version()}, "
        f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, load average "
        f"{os.getloadavg()[0]:.1f}. {options.messages} small messages a turn."
    )


def _profile(case: str, file: str, messages: int) -> None:
    """Write cProfile's statistics of ``wire`` under one case to ``file``."""
    port = free_port()
    argv = ["cProfile", "-o", file, "-m", "bench.ingress_servers", "wire", str(port)]
    with _process(argv, {}, port):
        _load(port, CASES[case], max(3, int(messages * CASES[case].share)))


if __name__ == "__main__":
    main()
