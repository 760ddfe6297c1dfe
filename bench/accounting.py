"""CPU time of a server with all its processes, by a control group of its own."""

import os
import time
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/cpuacct")
_ROOT = (_V1 if _V1.is_dir() else Path("/sys/fs/cgroup")) / "postroom-bench"


class Group:
    """An accounting group: no limits, only sums. What its members start belongs to it too."""

    def __init__(self, name: str) -> None:
        self._folder = _ROOT / name
        self._folder.mkdir(parents=True, exist_ok=True)

    def join(self) -> None:
        """Put the calling process in.."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self) -> list[int]:
        """Return who is in it now."""
        return [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]

    def cpu_seconds(self) -> float:
        """Return user and system time of all who are or were in it."""
        usage = self._folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int((self._folder / "cpu.stat").read_text().split()[1]) / 1e6

    def memory_mib(self) -> float:
        """Return the proportional set size of its processes, shared pages counted once."""
        return sum(_pss_kib(pid) for pid in self.pids()) / 1024

    def settle(self, within: float = 20.0) -> None:
        """Wait until its processes are at rest."""
        deadline = time.monotonic() + within
        last = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.cpu_seconds()
            if now - last < 0.02:
                return
            last = now


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
