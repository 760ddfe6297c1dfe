"""Ports for the servers of tests: free, and not such as outgoing connections are given.

Where several test processes run side by side, each has ports of its own to give.
"""

import os
import random
import socket
from pathlib import Path

_LOWEST = 10_000
_given: set[int] = set()
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # noqa: TID251 - xdist's
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # noqa: TID251 - xdist's
_chance = random.SystemRandom()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses, and that we have not given before."""
    while True:
        port = _chance.randrange(_LOWEST + _WORKER, _highest(), _WORKERS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def answers(port: int) -> bool:
    """Return whether somebody listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _highest() -> int:
    """Return where the range of outgoing connections begins: they would take it from under us."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
