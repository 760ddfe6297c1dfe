"""Delivery: carries routed legs over their hops.

Consumes `MailRouted` and `DirectoryChanged`; emits `MailDeferred` (to be tried again),
`MailAccepted` (reports to senders) and `MailTraced`. Asks auth for routes and keys.
"""

import asyncio
from contextlib import closing
from functools import partial

from kernel.bus.port import REMOTE
from kernel.http import Peer
from kernel.model.events import DirectoryChanged, Local, MailRouted, Nowhere, Remote
from kernel.platform import Platform
from kernel.runtime import Service, run
from services.delivery.adapters.mailbox import MailboxCourier
from services.delivery.adapters.nowhere import NowhereCourier
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import Manners, SmtpCourier
from services.delivery.adapters.templates import load_templates
from services.delivery.core.schedule import RetrySchedule
from services.delivery.reporter import Reporter
from services.delivery.sending import Orders
from services.delivery.service import Delivery
from services.delivery.settings import Settings
from services.delivery.ways import Ways, open_ways

NAME = "delivery"
STOPPED = "stopped"


async def serve(platform: Platform, settings: Settings) -> None:
    """Deliver until cancelled."""
    token = platform.settings.service_token.get_secret_value()
    async with Peer(platform.settings.auth_url, token) as auth:
        orders = Orders(auth)
        async with open_ways(platform, settings, orders) as ways:
            with closing(smtp_courier(platform, settings, ways)) as remote:
                delivery = make_delivery(platform, settings, orders, remote)
                await _work(platform, settings, orders, delivery)


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


def smtp_courier(platform: Platform, settings: Settings, ways: Ways) -> SmtpCourier:
    """Return the courier for remote legs, with the manners that the settings name."""
    manners = Manners(
        connections=settings.site_connections,
        mailings=settings.connection_messages,
        patience=settings.site_patience.total_seconds(),
    )
    return SmtpCourier(ways.directions, ways.dialler, Preparer(platform.blobs), manners)


async def _work(platform: Platform, settings: Settings, orders: Orders, delivery: Delivery) -> None:
    """Carry legs until cancelled; remote ones once we know where they may go."""
    platform.health.ready(NAME)
    try:
        async with asyncio.TaskGroup() as tasks:
            if REMOTE in settings.hops:
                platform.health.watch("delivery: auth", orders.trouble)
                tasks.create_task(platform.bus.listen(DirectoryChanged, orders.notice))
                tasks.create_task(orders.follow())
            for lane in settings.hops:
                tasks.create_task(_consume(platform, settings, orders, delivery, lane))
    finally:
        platform.health.watch(NAME, lambda: STOPPED)


async def _consume(
    platform: Platform, settings: Settings, orders: Orders, delivery: Delivery, lane: str
) -> None:
    remote = lane == REMOTE
    if remote:
        await orders.known()
    await platform.bus.consume(
        MailRouted,
        delivery.attempt,
        lane=lane,
        concurrency=settings.remote_concurrency if remote else settings.local_concurrency,
        again=delivery.recover,
    )


def main() -> None:
    """Run delivery alone in this process."""
    run(Service(NAME, partial(serve, settings=Settings())))
