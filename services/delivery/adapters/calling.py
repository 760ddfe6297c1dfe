"""Calls a host at all its addresses, and takes the first that answers (RFC 8305 §5)."""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from ipaddress import ip_address

from kernel.tasks import end_all
from services.delivery.core.routes import Host

STAGGER = 0.25
"""Seconds that an address has to itself before the next is called too (RFC 8305 §8)."""


class CannotConnectError(Exception):
    """Nobody takes our connection there."""


async def call(hosts: Sequence[Host], source: str, limit: float) -> tuple[Host, socket.socket]:
    """Return the first of ``hosts`` that takes our connection, and the connection.

    One that fails at once makes room for the next at once: where a machine has no IPv6, that
    costs nothing. Whoever comes second is hung up on. Raises `CannotConnectError`.
    """
    left = deque(host for host in hosts if _can_reach(source, host.address))
    calls: dict[asyncio.Task[socket.socket], Host] = {}
    why = "no address of the family of ours" if hosts and not left else "no address"
    try:
        async with asyncio.timeout(limit):
            while left or calls:
                if left:
                    host = left.popleft()
                    calls[asyncio.create_task(_connect(host, source))] = host
                done, _ = await asyncio.wait(
                    calls, timeout=STAGGER if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for one in done:
                    error = one.exception()
                    if error is None:
                        return calls.pop(one), one.result()
                    del calls[one]
                    why = str(error)
    except TimeoutError:
        why = "no answer in time"
    finally:
        await _hang_up(calls)
    raise CannotConnectError(why)


def _can_reach(source: str, address: str) -> bool:
    """Return whether one can dial ``address`` from ``source``: they are of one family."""
    return not source or (":" in source) == (":" in address)


async def _connect(host: Host, source: str) -> socket.socket:
    """Return a connection. Raises `OSError`."""
    family = socket.AF_INET6 if ip_address(host.address).version == 6 else socket.AF_INET  # noqa: PLR2004
    line = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: or Nagle waits
    try:
        line.settimeout(0)
        if source:
            line.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(line, (host.address, host.port))
    except BaseException:
        line.close()
        raise
    return line


async def _hang_up(calls: dict["asyncio.Task[socket.socket]", Host]) -> None:
    await end_all(calls)
    for late in calls:
        if not late.cancelled() and late.exception() is None:
            late.result().close()
