"""Collect: users collect their mail over POP3.

Reads and empties mailboxes. Asks auth who is who; auth lets who has logged in here send
mail for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from kernel.http import Peer
from kernel.listening import Listening, listen
from kernel.platform import Platform
from kernel.runtime import Service, run
from kernel.sasl import fresh_nonce
from kernel.tls import Certificates, open_certificates
from services.collect.adapters.doorkeeper import HttpDoorkeeper
from services.collect.core.doorway import Doorway
from services.collect.crowd import Crowd
from services.collect.edge import Entrance
from services.collect.ports import Doorkeeper
from services.collect.settings import Settings
from services.collect.wire import Wire

IMPLICIT_TLS = "pop3s"
"""The listener that speaks TLS from the first octet (RFC 8314 §3.3)."""

_log = structlog.get_logger("collect")


@dataclass(frozen=True, slots=True)
class Collect:
    """Collect at work. ``addresses`` tells where each listener can be reached."""

    addresses: Mapping[str, tuple[str, int]]
    crowd: Crowd


@asynccontextmanager
async def open_collect(platform: Platform, settings: Settings) -> AsyncIterator[Collect]:
    """Let users collect meanwhile; at the end see everybody out."""
    common = platform.settings
    crowd = Crowd(settings.max_connections, settings.max_connections_per_ip)
    async with AsyncExitStack() as stack:
        certificates = await stack.enter_async_context(
            open_certificates(settings, common.hostname, platform.clock)
        )
        peer = Peer(common.auth_url, common.service_token.get_secret_value())
        doorkeeper = HttpDoorkeeper(await stack.enter_async_context(peer))
        stack.push_async_callback(crowd.see_out, common.grace.total_seconds())
        addresses = {}
        for name, where in _listeners(settings).items():
            entrance = _entrance(name, platform, settings, certificates, doorkeeper)
            listening = await _listen(entrance, crowd, where, settings.balancers)
            stack.callback(listening.close)
            addresses[name] = listening.address
        yield Collect(addresses, crowd)


def _listeners(settings: Settings) -> dict[str, str]:
    wanted = {"pop3": settings.listen_pop3, IMPLICIT_TLS: settings.listen_pop3s}
    return {name: where for name, where in wanted.items() if where}


def _entrance(
    name: str,
    platform: Platform,
    settings: Settings,
    certificates: Certificates,
    doorkeeper: Doorkeeper,
) -> Entrance:
    doorway = Doorway(
        name,
        new_nonce=partial(fresh_nonce, platform.settings.hostname),
        binding=certificates.binding,
        mechanisms=settings.mechanisms,
        plaintext=settings.plaintext,
        max_errors=settings.max_errors,
    )
    return Entrance(
        doorway,
        doorkeeper,
        platform.mailboxes,
        certificates,
        idle_limit=settings.idle_timeout.total_seconds(),
        login_limit=settings.login_timeout.total_seconds(),
    )


async def _listen(
    entrance: Entrance, crowd: Crowd, where: str, balancers: Collection[str]
) -> Listening:
    listening = await listen(
        partial(Wire, partial(crowd.welcome, entrance)),
        where,
        balancers=balancers,
        tls=entrance.certificates.context if entrance.name == IMPLICIT_TLS else None,
    )
    _log.info("listening", listener=entrance.name, on=where)
    return listening


async def serve(platform: Platform, settings: Settings) -> None:
    """Let users collect until cancelled."""
    async with open_collect(platform, settings):
        platform.health.ready("collect")
        await asyncio.Event().wait()


def main() -> None:
    """Run collect alone in this process."""
    run(Service("collect", partial(serve, settings=Settings())))
