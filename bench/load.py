"""Load and sink: Postfix's own smtp-source and smtp-sink, which know neither server."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.accounting import Group

_MESSAGES = re.compile(rb"mesg=(\d+)")


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load."""

    name: str
    messages: int
    sessions: int = 20
    size: int = 10_240
    keep_open: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. Rates are messages a second, CPU is milliseconds a message."""

    accept_rate: float
    end_to_end_rate: float
    cpu_ms: float
    memory_mib: float


class Sink:
    """smtp-sink, and how many messages it has had."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.messages = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        tail = b""
        while data := self._process.stdout.read1(65536):
            tail = (tail + data)[-4096:]
            if found := _MESSAGES.findall(tail[: tail.rfind(b"\r") + 1] or tail):
                self.messages = max(self.messages, int(found[-1]))

    def wait_for(self, messages: int, stall: float = 30.0) -> float:
        """Return the moment at which it had so many; give up when nothing comes any more."""
        seen, since = self.messages, time.monotonic()
        while self.messages < messages:
            time.sleep(0.002)
            if self.messages != seen:
                seen, since = self.messages, time.monotonic()
            elif time.monotonic() - since > stall:
                raise SystemExit(f"the sink has {seen} of {messages} messages, and no more come")
        return time.monotonic()


@contextmanager
def sink(port: int) -> Iterator[Sink]:
    """Run smtp-sink on ``port`` meanwhile."""
    command = ["smtp-sink", "-c", "-u", "nobody", "-h", "sink.test", f"127.0.0.1:{port}", "1024"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield Sink(process)
        finally:
            process.terminate()


def measure(case: Case, port: int, target: Sink, group: Group) -> Figures:
    """Send the load of ``case`` to ``port``; return once the sink has it and ``group`` rests."""
    before, cpu = target.messages, group.cpu_seconds()
    began = time.monotonic()
    subprocess.run(_source(case, port), check=True)
    accepted = time.monotonic()
    arrived = target.wait_for(before + case.messages)
    memory = group.memory_mib()
    group.settle()
    return Figures(
        accept_rate=case.messages / (accepted - began),
        end_to_end_rate=case.messages / (arrived - began),
        cpu_ms=(group.cpu_seconds() - cpu) / case.messages * 1000,
        memory_mib=memory,
    )


def _source(case: Case, port: int) -> list[str]:
    command = ["smtp-source", "-s", str(case.sessions), "-m", str(case.messages)]
    command += ["-l", str(case.size), "-N", "-f", "sender@load.test", "-t", "user@remote.test"]
    command += ["-d"] if case.keep_open else []
    return [*command, f"inet:127.0.0.1:{port}"]
