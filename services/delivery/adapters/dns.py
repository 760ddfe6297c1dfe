"""The way to a domain: static routes first, then MX, then the domain itself (RFC 5321 §5.1)."""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from typing import Protocol

from kernel.model.reply import Reply
from kernel.model.sending import Route, route_for
from kernel.mtasts import StsPolicy
from kernel.names import NamesUnavailableError
from services.delivery.adapters.hosts import Hosts, is_this_machine
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.exchangers import (
    LOOP,
    NO_DNS,
    NO_HOST,
    NO_SUCH_DOMAIN,
    NO_TARGET,
    Exchanger,
    before_us,
    is_ourselves,
    order,
)
from services.delivery.core.routes import Host
from services.delivery.core.tlsrpt import Failure, Policy, PolicyKind, Result
from services.delivery.ports import Directions, Site

REMEMBERED = 60.0  # seconds: the resolver's own cache keeps to the records' time to live
SMTP_PORT = 25  # another one is an operator's own arrangement, perhaps on this machine
MAX_EXCHANGERS = 5  # as many as are worth trying in one attempt
MOST_NAMES = 20  # of servers that are spelt in the name of a site
_shuffle = random.SystemRandom().shuffle

Found = Site | Reply


class Policies(Protocol):
    """Knows what domains say of their servers (MTA-STS)."""

    async def find(self, domain: str) -> StsPolicy | None:
        """Return the domain's policy, if it has one that is to be had."""


@dataclass(frozen=True, slots=True)
class Ourselves:
    """Who we are: mail must not go round in circles. ``addresses`` beside this machine's own."""

    name: str
    addresses: Collection[str] = ()


class Remembered:
    """What was found not long ago. Many who ask for one thing at a time share one look-up."""

    def __init__(self) -> None:
        self._found: dict[str, asyncio.Task[Found]] = {}

    async def get(self, key: str, look_up: Callable[[], "asyncio.Task[Found]"]) -> Found:
        """Return what is known of ``key``, or find it out. What may change soon is forgotten."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = look_up()
            found.add_done_callback(lambda _: self._remember(key))
        return found.result() if found.done() else await asyncio.shield(found)

    def _remember(self, key: str) -> None:
        known = self._found[key]
        found = None if known.cancelled() or known.exception() else known.result()
        lasts = isinstance(found, Site) or (found is not None and found.is_permanent)
        wait = REMEMBERED if lasts else 0.0
        asyncio.get_running_loop().call_later(wait, self._found.pop, key, None)


class DnsDirections:
    """Asks DNS, and the domain's policy where it has one."""

    def __init__(
        self,
        hosts: Hosts,
        ourselves: Ourselves,
        port: int,
        reports: TlsReports,
        policies: Policies | None = None,
    ) -> None:
        self._hosts = hosts
        self._ourselves = ourselves
        self._port = port
        self._reports = reports
        self._policies = policies
        self._remembered = Remembered()

    async def find(self, domain: str) -> Site | Reply:
        """Return where mail for ``domain`` goes now, or why that is unknown."""
        return await self._remembered.get(
            domain, lambda: asyncio.create_task(self._look_up(domain))
        )

    async def _look_up(self, domain: str) -> Site | Reply:
        if domain.startswith("["):
            address = domain.strip("[]").removeprefix("ipv6:")
            only = (Exchanger(0, domain), (Host(domain, address, self._port),))
            hosts = tuple(chain.from_iterable(filter(None, self._elsewhere([only]))))
            return Site(domain, hosts, domain=domain) if hosts else LOOP
        try:
            answer, sts = await asyncio.gather(
                self._hosts.names.ask(domain, "MX"), self._policy(domain)
            )
        except NamesUnavailableError:
            return NO_DNS
        if not answer.exists:
            return NO_SUCH_DOMAIN
        records = [Exchanger.parse(record) for record in answer.records]
        named = order(domain, records, self._ourselves.name, _shuffle)
        if isinstance(named, Reply):
            return named
        return await self._site(Site("", (), sts=sts, signed=answer.secure, domain=domain), named)

    async def _policy(self, domain: str) -> StsPolicy | None:
        return await self._policies.find(domain) if self._policies else None

    async def _site(self, site: Site, named: Sequence[Exchanger]) -> Site | Reply:
        """Return the hosts of ``named``; while one of them is in doubt, the mail has not failed."""
        tried = named[:MAX_EXCHANGERS]
        answers = await asyncio.gather(*(self._find(e.name, site) for e in tried))
        elsewhere = self._elsewhere([*zip(tried, answers, strict=True)])
        hosts = tuple(chain.from_iterable(filter(None, elsewhere)))
        if not hosts:
            if None in elsewhere:
                return NO_DNS
            return LOOP if any(answers) else NO_HOST
        return replace(site, name=_site_name(exchanger.name for exchanger in named), hosts=hosts)

    def _elsewhere(
        self, found: Sequence[tuple[Exchanger, tuple[Host, ...] | None]]
    ) -> tuple[tuple[Host, ...] | None, ...]:
        """Return the hosts without those that are this machine itself."""
        if self._port != SMTP_PORT:
            return tuple(hosts for _, hosts in found)
        addresses = {host.address for _, hosts in found for host in hosts or ()}
        pointless = {address for address in addresses if is_ourselves(address)}
        kept = [(e, hosts and _without(hosts, pointless)) for e, hosts in found]
        ours = {a for a in addresses - pointless if self._is_ours(a)}
        return before_us(kept, ours)

    def _is_ours(self, address: str) -> bool:
        return address in self._ourselves.addresses or is_this_machine(address)

    async def _find(self, name: str, site: Site) -> tuple[Host, ...] | None:
        try:
            return await self._hosts.find(name, self._port, signed=site.signed)
        except NamesUnavailableError as error:
            if site.signed:
                failure = Failure(Result.DNSSEC_INVALID, name, why=str(error))
                self._reports.failed(Policy(PolicyKind.TLSA, site.domain), failure)
            return None


def _site_name(servers: Iterable[str]) -> str:
    """Return the name of a site: no other servers have the same, or one could spoil it for them."""
    names = sorted(servers)
    if len(names) <= MOST_NAMES:
        return ",".join(names)
    mark = blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
    return ",".join([*names[:MOST_NAMES], mark])


def _without(hosts: tuple[Host, ...], addresses: Collection[str]) -> tuple[Host, ...]:
    return tuple(host for host in hosts if host.address not in addresses)


class RoutedDirections:
    """Routes as they stand now; a domain that none names a server for is looked up."""

    def __init__(
        self, routes: Callable[[], tuple[Route, ...]], hosts: Hosts, otherwise: Directions
    ) -> None:
        self._routes = routes
        self._hosts = hosts
        self._otherwise = otherwise
        self._remembered = Remembered()

    async def find(self, domain: str) -> Site | Reply:
        """Return where mail for ``domain`` goes now, or why that is unknown."""
        route = route_for(domain, self._routes())
        if route is not None and route.targets:
            servers = ",".join(map(str, route.targets))
            site = await self._remembered.get(
                servers, lambda: asyncio.create_task(self._look_up(route, servers))
            )
        else:
            site = await self._otherwise.find(domain)
        if isinstance(site, Reply) or route is None:
            return site
        return replace(site, route=route, domain=domain)

    async def _look_up(self, route: Route, servers: str) -> Site | Reply:
        """Return the targets in their order, primary first, without those that are not found."""
        asked = (self._hosts.find_named(target.host, target.port) for target in route.targets)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        hosts = tuple(chain.from_iterable(a for a in answers if not isinstance(a, BaseException)))
        broken = [a for a in answers if isinstance(a, BaseException)]
        if any(not isinstance(error, NamesUnavailableError) for error in broken):
            raise broken[0]
        return Site(servers, hosts, is_ours_to_name=True) if hosts else NO_TARGET
