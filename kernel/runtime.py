"""Runtime: starts services on one platform, stops them in order, tells systemd-style managers why.

One process runs one service or all of them; the difference is the length of a list.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from kernel import maillog
from kernel.health import serve_health
from kernel.platform import Platform, connect
from kernel.settings import PlatformSettings

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
    maillog.configure(settings.log_format, settings.log_level)
    sys.exit(asyncio.run(_main(settings, services, when_ready)))


async def _main(
    settings: PlatformSettings, services: Sequence[Service], when_ready: Callable[[], None]
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with connect(settings) as platform:
        for service in services:
            platform.health.expect(service.name)
        async with serve_health(platform.health, settings.health_listen):
            return await _supervise(platform, services, stop, when_ready)


async def _supervise(
    platform: Platform,
    services: Sequence[Service],
    stop: asyncio.Event,
    when_ready: Callable[[], None],
) -> int:
    running = {
        asyncio.create_task(_serve(service, platform), name=service.name): service
        for service in services
    }
    announcer = asyncio.create_task(_announce(platform, when_ready))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in running if task.done()]
    for extra in (announcer, stopping):
        extra.cancel()
    for task, service in reversed(running.items()):
        task.cancel()
        await asyncio.wait([task])
        _log.info("stopped", service=service.name)
    return 1 if failed else 0


async def _serve(service: Service, platform: Platform) -> None:
    try:
        await service.serve(platform)
        _log.error("ended without being asked to", service=service.name)
    except Exception:
        _log.exception("failed", service=service.name)


async def _announce(platform: Platform, when_ready: Callable[[], None]) -> None:
    while platform.health.troubles():
        await asyncio.sleep(0.05)
    _log.info("ready")
    when_ready()
