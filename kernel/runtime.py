"""Runtime: starts services on one platform, stops them in order, tells systemd-style managers why.

One process runs one service or all of them; the difference is the length of a list.
"""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from kernel import maillog
from kernel.health import serve_health
from kernel.platform import Platform, connect
from kernel.settings import PlatformSettings

SWITCH_INTERVAL = 0.001
"""Seconds for which a thread that has been in SQLite waits for the event loop to let it go on.

With Python's own 5 ms a busy loop holds up the very commit that everybody waits for: measured,
a third of the throughput of a process that runs every service.
"""

MOST_FILES = 65_536
"""How many files and connections a process may have open, where the system allows so many."""

_log = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True)
class Service:
    """A service's name, and its ``serve`` with its settings filled in.

    ``serve`` runs until cancelled, and calls ``platform.health.ready(name)`` once it works.
    """

    name: str
    serve: Callable[[Platform], Awaitable[None]]


def run(*services: Service, when_ready: Callable[[], None] = lambda: None) -> None:
    """Run ``services`` until SIGTERM or SIGINT; exit with 1 if one of them fails.

    They start in the order given and stop in the reverse order, each to the end
    before the next, so whoever is asked outlives those who ask.
    """
    settings = PlatformSettings()
    allow_many_files()
    sys.setswitchinterval(SWITCH_INTERVAL)
    maillog.configure(settings.log_format, settings.log_level)
    sys.exit(asyncio.run(_main(settings, services, when_ready)))


def allow_many_files() -> None:
    """Raise the usual limit of 1024: idle clients, each a file, would keep us from our data."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _main(
    settings: PlatformSettings, services: Sequence[Service], when_ready: Callable[[], None]
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(settings) as platform:
        for service in services:
            platform.health.expect(service.name)
        token = settings.service_token.get_secret_value()
        async with serve_health(platform.health, settings.health_listen, token):
            return await _supervise(platform, services, stop, when_ready)


async def _supervise(
    platform: Platform,
    services: Sequence[Service],
    stop: asyncio.Event,
    when_ready: Callable[[], None],
) -> int:
    running = [asyncio.ensure_future(service.serve(platform)) for service in services]
    announcer = asyncio.create_task(_announce(platform, when_ready))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    for extra in (announcer, stopping):
        extra.cancel()
    outcomes = [
        await _end(*pair) for pair in zip(reversed(services), reversed(running), strict=True)
    ]
    return 0 if all(outcomes) else 1


async def _end(service: Service, task: "asyncio.Future[None]") -> bool:
    """Stop a service and wait for its end; return whether it had worked until now."""
    ended_early = task.done()
    task.cancel()
    await asyncio.wait([task])
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("failed", service=service.name, exc_info=error)
    elif ended_early:
        _log.error("ended without being asked to", service=service.name)
    else:
        _log.info("stopped", service=service.name)
    return error is None and not ended_early


async def _announce(platform: Platform, when_ready: Callable[[], None]) -> None:
    while platform.health.troubles():  # noqa: ASYNC110 - checks are asked, they do not tell
        await asyncio.sleep(0.05)
    settle_memory()
    _log.info("ready")
    when_ready()


def settle_memory() -> None:
    """Spare the garbage collector what start-up left for good.

    Each full collection walked all of it, and everybody waited: 120 ms at a time, a
    sixteenth of a busy process's time.
    """
    gc.collect()
    gc.freeze()
