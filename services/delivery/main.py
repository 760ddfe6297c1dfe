"""Delivery: carries routed legs over their hops.

Consumes `MailRouted` and `DirectoryChanged`; emits `MailDeferred` (to be tried again),
`MailAccepted` (reports to senders) and `MailTraced`. Asks auth for routes and keys. Its workers
tell one another of themselves and of sites: `WorkerSeen`, `SiteSuspended`, `SiteResumed`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

from kernel.bus.port import REMOTE
from kernel.http import Peer
from kernel.model.events import (
    DirectoryChanged,
    Local,
    MailRouted,
    Nowhere,
    Remote,
    SiteResumed,
    SiteSuspended,
    WorkerSeen,
)
from kernel.platform import Platform
from kernel.runtime import Service, run
from services.delivery.adapters.mailbox import MailboxCourier
from services.delivery.adapters.nowhere import NowhereCourier
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.adapters.templates import load_templates
from services.delivery.core.schedule import RetrySchedule
from services.delivery.core.suspension import Rest
from services.delivery.fellows import Fellows
from services.delivery.reporter import Reporter
from services.delivery.sending import Orders
from services.delivery.service import Delivery
from services.delivery.settings import Settings
from services.delivery.shaping import Manners, Shaping
from services.delivery.ways import Ways, open_ways

NAME = "delivery"
STOPPED = "stopped"


async def serve(platform: Platform, settings: Settings) -> None:
    """Deliver until cancelled."""
    token = platform.settings.service_token.get_secret_value()
    async with Peer(platform.settings.auth_url, token) as auth:
        orders = Orders(auth)
        fellows = Fellows(platform.bus)
        shaping = Shaping(manners(settings), fellows, platform.clock)
        async with open_ways(platform, settings, orders) as ways:
            with closing(smtp_courier(platform, settings, orders, ways, shaping)) as remote:
                shaping.when_changed = remote.trim
                delivery = make_delivery(platform, settings, orders, remote)
                async with among_fellows(platform, fellows, shaping):
                    await _work(platform, settings, orders, fellows, delivery)


def make_delivery(
    platform: Platform, settings: Settings, orders: Orders, remote: SmtpCourier
) -> Delivery:
    """Return what carries legs, with a courier for each hop."""
    return Delivery(
        platform,
        couriers={
            Local: MailboxCourier(platform.mailboxes, platform.blobs),
            Remote: remote,
            Nowhere: NowhereCourier(),
        },
        reporter=Reporter(
            platform,
            load_templates(settings.templates),
            settings.copies_to(platform.settings.domain),
        ),
        schedule=RetrySchedule(settings.retry, settings.give_up_after, settings.warn_after),
        routes=lambda: orders.now.routes,
    )


def smtp_courier(
    platform: Platform, settings: Settings, orders: Orders, ways: Ways, shaping: Shaping
) -> SmtpCourier:
    """Return the courier for remote legs."""
    preparer, mailings = Preparer(platform, lambda: orders.now), settings.connection_messages
    return SmtpCourier(ways.directions, ways.dialler, preparer, shaping, mailings)


def manners(settings: Settings) -> Manners:
    """Return how sites are treated."""
    return Manners(
        connections=settings.site_connections,
        connections_in_all=settings.connections,
        rates=settings.site_rates,
        source_rates=settings.source_rates,
        slots=settings.remote_concurrency,
        patience=settings.site_patience.total_seconds(),
        cohorts=settings.site_failures,
        rest=Rest(settings.site_rest, settings.site_longest_rest),
    )


@asynccontextmanager
async def among_fellows(
    platform: Platform, fellows: Fellows, shaping: Shaping
) -> AsyncIterator[None]:
    """Hear the other workers meanwhile, and be heard; to the end of what is in hand."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(platform.bus.listen(WorkerSeen, fellows.hear)),
            tasks.create_task(platform.bus.listen(SiteSuspended, shaping.hear_suspended)),
            tasks.create_task(platform.bus.listen(SiteResumed, shaping.hear_resumed)),
            tasks.create_task(fellows.run()),
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await fellows.leave()


async def _work(
    platform: Platform, settings: Settings, orders: Orders, fellows: Fellows, delivery: Delivery
) -> None:
    """Carry legs until cancelled; remote ones once we know where they may go."""
    platform.health.ready(NAME)
    try:
        async with asyncio.TaskGroup() as tasks:
            if REMOTE in settings.hops:
                platform.health.watch("delivery: auth", orders.trouble)
                tasks.create_task(platform.bus.listen(DirectoryChanged, orders.notice))
                tasks.create_task(orders.follow())
            for lane in settings.hops:
                tasks.create_task(_consume(settings, orders, fellows, delivery, lane))
    finally:
        platform.health.watch(NAME, lambda: STOPPED)


async def _consume(
    settings: Settings, orders: Orders, fellows: Fellows, delivery: Delivery, lane: str
) -> None:
    remote = lane == REMOTE
    if remote:
        await orders.known()
        await fellows.join()
    await delivery.platform.bus.consume(
        MailRouted,
        delivery.attempt,
        lane=lane,
        concurrency=settings.remote_concurrency if remote else settings.local_concurrency,
        again=delivery.recover,
    )


def main() -> None:
    """Run delivery alone in this process."""
    run(Service(NAME, partial(serve, settings=Settings())))
