"""Ways: who tells where mail goes, and who dials it, as the settings have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from kernel.names import NameServers
from kernel.platform import Platform
from kernel.tasks import end_all
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.dns import DnsDirections, Ourselves, RoutedDirections
from services.delivery.adapters.hosts import Hosts
from services.delivery.adapters.mtasts import StsPolicies, Web
from services.delivery.adapters.securing import trusting
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.routes import parse_routes
from services.delivery.ports import Directions
from services.delivery.sending import Orders
from services.delivery.settings import Settings


@dataclass(frozen=True, slots=True)
class Ways:
    """Where mail goes, and how we get there."""

    directions: Directions
    dialler: Dialler


@asynccontextmanager
async def open_ways(platform: Platform, settings: Settings, orders: Orders) -> AsyncIterator[Ways]:
    """Yield the ways of the settings and of the administrator's ``orders``."""
    our_name, clock = platform.settings.hostname, platform.clock
    names = NameServers.of(settings)
    hosts = Hosts(names, settings.families)
    trust = await asyncio.to_thread(trusting, settings.ca_file)
    contact = f"postmaster@{platform.settings.domain}"
    reports = TlsReports(clock, our_name, contact, settings.tlsrpt_folder)
    standing = parse_routes(settings.routes)
    async with AsyncExitStack() as stack:
        policies = None
        if settings.mta_sts:
            web = Web(trust=trust)
            asking = StsPolicies(hosts, clock, reports, settings.mta_sts_folder, web)
            policies = await stack.enter_async_context(asking)
        following = asyncio.create_task(reports.follow())
        stack.push_async_callback(end_all, [following])
        ourselves = Ourselves(our_name, frozenset(settings.our_addresses))
        port = settings.remote_port
        by_dns = DnsDirections(hosts, ourselves, port, reports, policies)
        yield Ways(
            RoutedDirections(lambda: (*orders.now.routes, *standing), hosts, by_dns),
            Dialler(_dialling(our_name, settings), trust, reports, clock),
        )


def _dialling(our_name: str, settings: Settings) -> Dialling:
    return Dialling(our_name, settings.timeouts(), settings.connect_timeout.total_seconds())
