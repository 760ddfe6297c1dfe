"""Process: which process of this machine, and whether it still lives."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SILENT_FOR = 15.0
"""Seconds without a heartbeat after which an owner counts as dead, whatever its process does."""

_PROC = Path("/proc")
_START_TIME = 19  # the field `starttime`, counted after the command's closing bracket: proc(5)


@dataclass(frozen=True, slots=True)
class Process:
    """Names a process for good: ``boot/namespace/pid/start``. Numbers alone are used again."""

    text: str

    @classmethod
    def mine(cls) -> Self:
        """Return our own name."""
        pid = os.getpid()
        return cls(f"{_boot()}/{_namespace()}/{pid}/{_start(pid)}")

    def lives(self) -> bool | None:
        """Return whether it runs, or ``None`` if that cannot be seen from here."""
        boot, namespace, pid, start = self.text.split("/")
        if boot != _boot():
            return False
        if namespace != _namespace():
            return None
        return _start(int(pid)) == start


def is_gone(process: Process, silent: float) -> bool:
    """Whether an owner that was silent for so many seconds has to be taken for dead."""
    return process.lives() is False or not 0 <= silent <= SILENT_FOR


def uptime() -> float:
    """Return seconds on a clock that all processes of this machine share and nobody sets."""
    return time.monotonic()


def _boot() -> str:
    return _read(_PROC / "sys/kernel/random/boot_id").strip()


def _namespace() -> str:
    try:
        return (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""


def _start(pid: int) -> str:
    """Return when ``pid`` was started, in clock ticks since boot; empty if there is none."""
    fields = _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return fields[_START_TIME] if fields and fields[0] not in "ZX" else ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
