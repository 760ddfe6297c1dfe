"""Measures what auth costs: its decisions, its logins, and how long a RCPT waits for it.

python -m bench.auth [--seconds 5] [--rate 300] [--users 50]

Auth runs as a process of its own on SQLite; its CPU time is what the kernel says. Questions go
the way that ingress takes: HTTP over loopback, several connections that are kept.
"""

import argparse
import asyncio
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice, repeat
from pathlib import Path

import aiohttp

from kernel.http import Peer, PeerUnavailableError
from kernel.model.address import Address
from kernel.model.questions import (
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    RelayAnswer,
    RelayQuestion,
)
from tests.support.ports import free_port

TOKEN = secrets.token_urlsafe(24)
PATIENCE = 30.0  # seconds until auth has started
CROWD = 16  # who asks at once at full speed
BATCH = 64
_TICKS = os.sysconf("SC_CLK_TCK")

Ask = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Auth:
    """Auth in a process of its own."""

    pid: int
    url: str

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has had so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Figures:
    """What a run has shown."""

    rate: float
    cpu_share: float
    waits: list[float] = field(repr=False)

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.waits, n=100)
        return (
            f"{self.rate:8,.0f}/s  {self.cpu_share:6.1%} of a core  "
            f"p50 {cuts[49] * 1000:6.2f} ms  p99 {cuts[98] * 1000:6.2f} ms"
        )


def main() -> None:
    """Start auth, measure it, print."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as auth:
        asyncio.run(_measure(auth, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.auth", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="how long each run takes")
    parser.add_argument("--rate", type=float, default=300, help="decisions a second")
    parser.add_argument("--users", type=int, default=50)
    return parser.parse_args()


@contextmanager
def running(folder: Path) -> Iterator[Auth]:
    """Run auth meanwhile, with a database of its own in ``folder``."""
    listen = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "POSTROOM_ADMIN_PASSWORD": TOKEN,
        "POSTROOM_AUTH_LISTEN": listen,
        "POSTROOM_BUS_URL": f"sqlite:///{folder}/bus.db",
        "POSTROOM_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/postroom.db",
        "POSTROOM_DOMAIN": "ours.test",
        "POSTROOM_HEALTH_LISTEN": "",
        "POSTROOM_HOSTNAME": "mx.ours.test",
        "POSTROOM_LOG_LEVEL": "error",
        "POSTROOM_SERVICE_TOKEN": TOKEN,
    }
    subprocess.run([sys.executable, "-m", "migrations"], env=environment, check=True)
    with subprocess.Popen([sys.executable, "-m", "services.auth"], env=environment) as process:
        try:
            yield Auth(process.pid, f"http://{listen}")
        finally:
            process.send_signal(signal.SIGTERM)


async def _measure(auth: Auth, options: argparse.Namespace) -> None:
    async with Peer(auth.url, TOKEN) as peer:
        await _started(peer)
        await _furnish(auth, options.users)
        questions = _questions(options.users)
        await _asker(peer, questions, len(questions))()
        for name, size in (("one question a request", 1), (f"{BATCH} in a request", BATCH)):
            ask = _asker(peer, questions, size)
            paced = await _paced(auth, ask, options.rate / size, options.seconds)
            full = await _at_full_speed(auth, ask, options.seconds)
            _say(f"{options.rate:.0f} decisions/s, {name}", paced, size)
            _say(f"decisions at full speed, {name}", full, size)
        _say("logins, uncached", await _first_logins(auth, peer, options.users))
        again = _log_in(peer, "user0@ours.test")
        _say("logins, cached", await _at_full_speed(auth, again, options.seconds))


def _say(what: str, figures: Figures, each: int = 1) -> None:
    figures.rate *= each
    print(f"{what:50} {figures}", flush=True)


async def _started(peer: Peer) -> None:
    deadline = time.monotonic() + PATIENCE
    for pause in repeat(0.1):
        try:
            await peer.ask("/internal/relay", [], list[RelayAnswer])
        except PeerUnavailableError:
            assert time.monotonic() < deadline, "auth does not start"
            await asyncio.sleep(pause)
        else:
            return


async def _furnish(auth: Auth, users: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(auth.url, headers=headers) as session:
        for number in range(users):
            user = {"address": f"user{number}@ours.test", "password": f"password {number}"}
            async with session.post("/v1/users", json=user) as response:
                response.raise_for_status()


def _questions(users: int) -> list[RelayQuestion]:
    """Return what a working day asks: mail coming in, mail going out, and the LAN's."""
    asked = []
    for number in range(users):
        user, other = Address(f"user{number}", "ours.test"), Address(f"bob{number}", "far.test")
        client = f"203.0.113.{number % 256}"
        asked += [
            RelayQuestion("mx", client, "mx.far.test", other, user),
            RelayQuestion("submission", client, "phone", user, other, str(user)),
            RelayQuestion("mx", "127.0.0.1", "printer", user, other),
            RelayQuestion("mx", client, "mx.far.test", other, Address(f"no{number}", "ours.test")),
        ]
    return asked


def _asker(peer: Peer, questions: list[RelayQuestion], size: int) -> Ask:
    """Return what asks the next ``size`` of ``questions``."""
    coming = cycle(questions)

    async def ask() -> None:
        await peer.ask("/internal/relay", list(islice(coming, size)), list[RelayAnswer])

    return ask


def _log_in(peer: Peer, login: str) -> Ask:
    number = login.partition("@")[0].removeprefix("user")
    question = LoginQuestion(
        "smtp", "submission", "203.0.113.9", "PLAIN", login, f"password {number}", tls=True
    )

    async def ask() -> None:
        answer = await peer.ask("/internal/login", question, LoginAnswer)
        assert answer.verdict is LoginVerdict.GRANTED

    return ask


async def _paced(auth: Auth, ask: Ask, rate: float, seconds: float) -> Figures:
    """Ask ``rate`` times a second, whether the last answer has come or not."""
    loop, waits = asyncio.get_running_loop(), []
    begin, cpu = loop.time(), auth.cpu_seconds()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(begin + number / rate - loop.time())
            tasks.create_task(_timed(ask, waits))
    return _figures(auth, waits, loop.time() - begin, cpu)


async def _at_full_speed(auth: Auth, ask: Ask, seconds: float) -> Figures:
    """Let a crowd ask as fast as it is answered."""
    waits: list[float] = []
    begin, cpu = time.perf_counter(), auth.cpu_seconds()

    async def keep_asking() -> None:
        while time.perf_counter() - begin < seconds:
            await _timed(ask, waits)

    await asyncio.gather(*(keep_asking() for _ in range(CROWD)))
    return _figures(auth, waits, time.perf_counter() - begin, cpu)


async def _first_logins(auth: Auth, peer: Peer, users: int) -> Figures:
    """Log everybody in for the first time, a few at once."""
    waits: list[float] = []
    begin, cpu = time.perf_counter(), auth.cpu_seconds()
    everybody = iter([_log_in(peer, f"user{number}@ours.test") for number in range(users)])

    async def log_some_in() -> None:
        for ask in everybody:
            await _timed(ask, waits)

    await asyncio.gather(*(log_some_in() for _ in range(4)))
    return _figures(auth, waits, time.perf_counter() - begin, cpu)


async def _timed(ask: Ask, waits: list[float]) -> None:
    begin = time.perf_counter()
    await ask()
    waits.append(time.perf_counter() - begin)


def _figures(auth: Auth, waits: list[float], seconds: float, cpu: float) -> Figures:
    return Figures(len(waits) / seconds, (auth.cpu_seconds() - cpu) / seconds, waits)


if __name__ == "__main__":
    main()
