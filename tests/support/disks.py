"""Disks that can be filled: small file systems in memory, gone after the test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 65_536


class Disk:
    """A small disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Write until nothing more fits, or little more than ``leave`` octets."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while os.statvfs(self.folder).f_bavail * 4096 > leave:
                    file.write(bytes(CHUNK if leave else 4096))
            except OSError:
                return

    def clear(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Disk]:
    """Mount a disk of that size at ``folder``."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(
            f"a test of full disks has to be root and mount: {done.stderr.strip()}"
        )
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
