"""Delivery: carries routed legs over their hops.

Consumes `MailRouted`; emits `MailDeferred` (to be tried again), `MailAccepted`
(reports of failure) and `MailTraced`.
"""

import asyncio
from contextlib import closing
from functools import partial

from kernel.bus.port import REMOTE
from kernel.model.events import Local, MailRouted, Nowhere, Remote
from kernel.platform import Platform
from kernel.runtime import Service, run
from services.delivery.adapters.dns import DnsDirections, Resolver, RoutedDirections
from services.delivery.adapters.mailbox import MailboxCourier
from services.delivery.adapters.nowhere import NowhereCourier
from services.delivery.adapters.smtp import Manners, SmtpCourier
from services.delivery.core.routes import parse_routes
from services.delivery.core.schedule import RetrySchedule
from services.delivery.service import Delivery
from services.delivery.settings import Settings

NAME = "delivery"
STOPPED = "stopped"


async def serve(platform: Platform, settings: Settings) -> None:
    """Deliver until cancelled."""
    with closing(smtp_courier(platform, settings)) as remote:
        delivery = Delivery(
            platform,
            couriers={
                Local: MailboxCourier(platform.mailboxes, platform.blobs),
                Remote: remote,
                Nowhere: NowhereCourier(),
            },
            schedule=RetrySchedule(settings.retry, settings.give_up_after),
        )
        platform.health.ready(NAME)
        try:
            async with asyncio.TaskGroup() as lanes:
                for lane in settings.hops:
                    lanes.create_task(_consume(platform, settings, delivery, lane))
        finally:
            platform.health.watch(NAME, lambda: STOPPED)


def smtp_courier(platform: Platform, settings: Settings) -> SmtpCourier:
    """Return the courier for remote legs, with the ways and manners that the settings name."""
    our_name = platform.settings.hostname
    directions = RoutedDirections(
        parse_routes(settings.routes),
        otherwise=DnsDirections(Resolver(), our_name, settings.remote_port),
    )
    manners = Manners(
        our_name=our_name,
        timeouts=settings.timeouts(),
        connect_timeout=settings.connect_timeout.total_seconds(),
        connections=settings.site_connections,
        mailings=settings.connection_messages,
        patience=settings.site_patience.total_seconds(),
    )
    return SmtpCourier(directions, platform.blobs, manners)


async def _consume(platform: Platform, settings: Settings, delivery: Delivery, lane: str) -> None:
    remote = lane == REMOTE
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
