"""Debian's packages unpacked where nobody else looks: not all can be installed together."""

import atexit
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.support.brokers import BrokerError, download, install


@cache
def unpacked(*packages: str) -> Path:
    """Return the folder in which ``packages`` lie unpacked; it goes when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix=f"postroom-{packages[0]}-", dir="/var/tmp")
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    place.chmod(0o755)
    download(place, *packages)
    for package in place.glob("*.deb"):
        run("dpkg", "-x", str(package), str(place), folder=place)
    return place


def need_libraries(program: Path, libraries: Mapping[str, str]) -> None:
    """Install those of ``libraries`` (package by file) that ``program`` misses."""
    wanted = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True)
    install(*(pkg for name, pkg in libraries.items() if f"{name} => not" in wanted.stdout))


def need_user(name: str) -> None:
    """Make a system user of that name, if there is none."""
    if subprocess.run(["id", name], capture_output=True, check=False).returncode:
        run("useradd", "--system", "--no-create-home", "--user-group", name, folder=Path("/"))


def run(*command: str, folder: Path) -> None:
    """Run ``command``; say what it said if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BrokerError(f"{' '.join(command[:3])} failed: {said[-500:]!r}")
