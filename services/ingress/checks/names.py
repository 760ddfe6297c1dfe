"""Names: DNS as the checks ask it. A name server that does not answer costs time only once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

import dns.asyncresolver
import dns.exception
import dns.resolver
import structlog

from kernel.settings import host_and_port
from kernel.tasks import end_all
from services.ingress.checks import metrics

REST = 30.0
"""Seconds for which nobody is asked after name servers were silent."""
_FOR_THEM, _FOR_US = 0.5, 0.2
"""Which part of the time a question may take, and then the one whether it is our own fault."""
_CACHED = 20_000
_ROOT_NAME = "."

_log = structlog.get_logger("ingress")


class NamesUnavailableError(Exception):
    """No name server has given an answer: ask again later."""


class Names:
    """Asks name servers, remembers answers as long as they say, and notices when they are silent.

    Somebody else's name servers may be silent too; that looks alike at first. So the root is
    asked, which every name server knows: only if that fails are ours to blame, and are left
    alone for a while. Use as a context manager.
    """

    def __init__(self, servers: Sequence[str], limit: float, clock: Callable[[], float]) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._servers = servers
        self._limit = limit
        self._clock = clock
        self._resting_until = float("-inf")
        self._probe: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._resolver = await asyncio.to_thread(_resolver_for, self._servers)
        self._resolver.cache = dns.resolver.LRUCache(_CACHED)
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_all([self._probe] if self._probe else [])

    @property
    def is_resting(self) -> bool:
        """Whether nobody is asked now, because nobody answered."""
        return self._clock() < self._resting_until

    async def ask(self, name: str, kind: str) -> list[str]:
        """Return the records of a name as text, none if there are none.

        Raises `NamesUnavailableError`.
        """
        if self.is_resting:
            raise NamesUnavailableError("name servers are silent")
        try:
            answer = await self._resolve(name, kind, self._limit * _FOR_THEM)
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.Timeout, OSError) as error:
            await self._doubt()
            raise NamesUnavailableError(f"{name}: {error}") from error
        except (dns.exception.DNSException, UnicodeError) as error:
            raise NamesUnavailableError(f"{name}: {error}") from error
        return [_text(record, kind) for record in answer]

    async def _resolve(self, name: str, kind: str, lifetime: float) -> dns.resolver.Answer:
        whole = name if name.endswith(".") else f"{name}."
        return await self._resolver.resolve(
            whole, kind, lifetime=lifetime, raise_on_no_answer=False
        )

    async def _doubt(self) -> None:
        """Find out whether it is our name servers that are silent, together with others."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._find_out())
        await asyncio.shield(self._probe)

    async def _find_out(self) -> None:
        try:
            await self._resolve(_ROOT_NAME, "SOA", self._limit * _FOR_US)
        except (dns.exception.Timeout, OSError) as error:
            self._resting_until = self._clock() + REST
            metrics.DNS_SILENT.set(1)
            _log.warning("name servers are silent", why=str(error), seconds=REST)
        except dns.exception.DNSException:
            metrics.DNS_SILENT.set(0)  # an answer, of a kind
        else:
            metrics.DNS_SILENT.set(0)


def _resolver_for(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    """Return a resolver for these name servers, or for the system's if there are none named."""
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        places = [host_and_port(server) for server in servers]
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in places]
    resolver.timeout = 1.0
    return resolver


def _text(record: Any, kind: str) -> str:  # noqa: ANN401 - a class of dnspython for each kind
    match kind:
        case "TXT":
            return b"".join(record.strings).decode("utf-8", "replace")
        case "MX":
            return str(record.exchange).rstrip(".")
        case "PTR":
            return str(record.target).rstrip(".")
        case _:
            return str(record.address)
