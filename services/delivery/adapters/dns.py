"""The way to a domain: static routes first, then MX, then the domain itself (RFC 5321 §5.1)."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Protocol

from kernel.model.reply import Reply
from kernel.model.sending import Route, route_for
from kernel.names import NameServers, NamesUnavailableError
from services.delivery.core.exchangers import (
    LOOP,
    NO_DNS,
    NO_HOST,
    NO_SUCH_DOMAIN,
    Exchanger,
    is_ourselves,
    order,
)
from services.delivery.core.routes import Host, hosts_of
from services.delivery.ports import Directions, Site

REMEMBERED = 60.0  # seconds: the resolver's own cache keeps to the records' time to live
SMTP_PORT = 25  # another one is an operator's own arrangement, perhaps on this machine
MAX_EXCHANGERS = 5  # as many as are worth trying in one attempt
_shuffle = random.SystemRandom().shuffle


class NoSuchNameError(Exception):
    """The name does not exist."""


class DnsUnavailableError(Exception):
    """No name server gave an answer: ask again later."""


class Records(Protocol):
    """Answers questions about names, with nothing if the name has no such record."""

    async def mx(self, name: str) -> list[Exchanger]:
        """Return the MX records. Raises `NoSuchNameError`, `DnsUnavailableError`."""

    async def addresses(self, name: str) -> list[str]:
        """Return the IP addresses. Raises `NoSuchNameError`, `DnsUnavailableError`."""


class DnsDirections:
    """Asks DNS. Many who ask for one domain at a time share one look-up."""

    def __init__(self, name_servers: Records, our_name: str, port: int) -> None:
        self._name_servers = name_servers
        self._our_name = our_name
        self._port = port
        self._found: dict[str, asyncio.Task[Site | Reply]] = {}

    async def find(self, domain: str) -> Site | Reply:
        """Return where mail for ``domain`` goes now, or why that is unknown."""
        found = self._found.get(domain)
        if found is None:
            found = asyncio.create_task(self._look_up(domain))
            self._found[domain] = found
            found.add_done_callback(lambda _: self._remember(domain))
        return found.result() if found.done() else await asyncio.shield(found)

    def _remember(self, domain: str) -> None:
        known = self._found[domain]
        certain = not known.cancelled() and not known.exception() and known.result() is not NO_DNS
        forget: Callable[[], object] = lambda: self._found.pop(domain, None)  # noqa: E731 - twice
        if certain:
            asyncio.get_running_loop().call_later(REMEMBERED, forget)
        else:
            forget()

    async def _look_up(self, domain: str) -> Site | Reply:
        if domain.startswith("["):
            address = domain.strip("[]").removeprefix("ipv6:")
            return self._elsewhere(Site(domain, (Host(domain, address, self._port),)))
        try:
            records = await self._name_servers.mx(domain)
        except NoSuchNameError:
            return NO_SUCH_DOMAIN
        except DnsUnavailableError:
            return NO_DNS
        names = order(domain, records, self._our_name, _shuffle)
        return names if isinstance(names, Reply) else await self._site(names)

    async def _site(self, names: tuple[str, ...]) -> Site | Reply:
        """Return the hosts of ``names``; while one of them is in doubt, the mail has not failed."""
        answers = await asyncio.gather(*(self._hosts(name) for name in names[:MAX_EXCHANGERS]))
        hosts = tuple(chain.from_iterable(answer for answer in answers if answer is not None))
        if hosts:
            return self._elsewhere(Site(",".join(sorted(names)), hosts))
        return NO_DNS if None in answers else NO_HOST

    def _elsewhere(self, site: Site) -> Site | Reply:
        """Return the site without hosts that are this machine itself."""
        if self._port != SMTP_PORT:
            return site
        hosts = tuple(host for host in site.hosts if not is_ourselves(host.address))
        return Site(site.name, hosts) if hosts else LOOP

    async def _hosts(self, name: str) -> list[Host] | None:
        try:
            return [Host(name, a, self._port) for a in await self._name_servers.addresses(name)]
        except NoSuchNameError:
            return []
        except DnsUnavailableError:
            return None


class RoutedDirections:
    """Routes as they stand now; a domain that none names a server for is looked up."""

    def __init__(self, routes: Callable[[], tuple[Route, ...]], otherwise: Directions) -> None:
        self._routes = routes
        self._otherwise = otherwise

    async def find(self, domain: str) -> Site | Reply:
        """Return where mail for ``domain`` goes now, or why that is unknown."""
        route = route_for(domain, self._routes())
        if route is not None and route.targets:
            hosts = hosts_of(route)
            return Site(",".join(map(str, hosts)), hosts, is_ours_to_name=True, route=route)
        site = await self._otherwise.find(domain)
        return site if isinstance(site, Reply) else replace(site, route=route)


class Resolver:
    """The name servers of the settings."""

    def __init__(self, names: NameServers) -> None:
        self._names = names

    async def mx(self, name: str) -> list[Exchanger]:
        """Return the MX records. Raises `NoSuchNameError`, `DnsUnavailableError`."""
        return [Exchanger.parse(record) for record in await self._ask(name, "MX")]

    async def addresses(self, name: str) -> list[str]:
        """Return the IP addresses, IPv4 first. Raises `NoSuchNameError`, `DnsUnavailableError`."""
        kinds = (self._ask(name, kind) for kind in ("A", "AAAA"))
        answers = await asyncio.gather(*kinds, return_exceptions=True)
        found = [*chain.from_iterable(a for a in answers if not isinstance(a, BaseException))]
        failure = next((a for a in answers if isinstance(a, BaseException)), None)
        if failure is not None and not found:
            raise failure
        return found

    async def _ask(self, name: str, kind: str) -> tuple[str, ...]:
        try:
            answer = await self._names.ask(name, kind)
        except NamesUnavailableError as error:
            raise DnsUnavailableError(str(error)) from error
        if not answer.exists:
            raise NoSuchNameError(name)
        return answer.records
