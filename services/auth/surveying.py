"""Asks DNS all that `services.auth.core.dnscheck` looks at."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from kernel.clock import Clock
from kernel.mtasts import policy_id
from kernel.names import NameServers, NamesUnavailableError
from kernel.spf import spf_verdict
from services.auth.adapters.policyfile import fetch_policy
from services.auth.core.dkim import DkimKey
from services.auth.core.survey import Fetched, Lookup, Server, Survey, Zone

PATIENCE = 4.0  # seconds for a question; four at most follow one another, the command waits 30
MOST_ADDRESSES = 16
MOST_NAMES = 4  # of one address
_ADDRESSES = ("A", "AAAA")

FetchPolicy = Callable[[str, Sequence[str], float], Awaitable[Fetched]]


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Surveys domains of ours. ``names`` gives name servers that remember nothing.

    ``addresses`` are those from which our mail comes, if the administrator has named them.
    """

    hostname: str
    addresses: tuple[str, ...]
    names: Callable[[], NameServers]
    clock: Clock
    fetch: FetchPolicy = fetch_policy

    async def survey(self, domain: str, keys: Sequence[DkimKey]) -> Survey:
        """Return what DNS says of ``domain`` and of us now. What it does not say is unknown."""
        asking = _Asking(self.names())
        zone, server = await asyncio.gather(
            self._zone(asking, domain, keys), self._server(asking, domain)
        )
        return Survey(domain, server, zone, self.clock())

    @property
    def _name(self) -> str:
        return self.hostname.lower().rstrip(".")

    async def _zone(self, asking: "_Asking", domain: str, keys: Sequence[DkimKey]) -> Zone:
        (mx, txt, sts, tlsrpt), dmarc, published = await asyncio.gather(
            asking.all(
                (domain, "MX"),
                (domain, "TXT"),
                (f"_mta-sts.{domain}", "TXT"),
                (f"_smtp._tls.{domain}", "TXT"),
            ),
            asking.all(*((f"_dmarc.{name}", "TXT") for name in _and_above(domain))),
            asking.all(*((key.record_name, "TXT") for key in keys)),
        )
        policy = await self._policy(asking, domain, sts)
        signing = tuple(zip(keys, published, strict=True))
        return Zone(mx, txt, dmarc, signing, sts, policy, tlsrpt)

    async def _server(self, asking: "_Asking", domain: str) -> Server:
        host = await asking.all(*((self._name, kind) for kind in _ADDRESSES))
        named = tuple(record for look in host for record in look.records)
        addresses = (self.addresses or named)[:MOST_ADDRESSES]
        pointers, verdicts = await asyncio.gather(
            asking.all(*((ip_address(a).reverse_pointer, "PTR") for a in addresses)),
            asyncio.gather(*(self._spf(asking, address, domain) for address in addresses)),
        )
        return Server(
            self._name,
            addresses,
            host,
            reverse=dict(zip(addresses, pointers, strict=True)),
            forward=await asking.forward(pointers),
            spf=dict(zip(addresses, verdicts, strict=True)),
        )

    async def _spf(self, asking: "_Asking", address: str, domain: str) -> str:
        async def ask(name: str, kind: str) -> tuple[str, ...]:
            return (await asking.names.ask(name, kind, 2 * PATIENCE)).records

        sender, us = f"postmaster@{domain}", self._name
        return await spf_verdict(ask, address, sender, us, receiver=us, patience=2 * PATIENCE)

    async def _policy(self, asking: "_Asking", domain: str, sts: Lookup) -> Fetched | None:
        if not policy_id(sts.records):
            return None
        name = f"mta-sts.{domain}"
        looks = await asking.all(*((name, kind) for kind in _ADDRESSES))
        addresses = [record for look in looks for record in look.records]
        return await self.fetch(name, addresses, PATIENCE)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks name servers; that they do not answer is an answer too."""

    names: NameServers

    async def all(self, *questions: tuple[str, str]) -> tuple[Lookup, ...]:
        """Return what there is under each name, of each kind."""
        return tuple(await asyncio.gather(*(self._ask(*question) for question in questions)))

    async def forward(self, reverse: Iterable[Lookup]) -> dict[str, tuple[Lookup, ...]]:
        """Return the addresses of the names in ``reverse``."""
        names = list(dict.fromkeys(n for look in reverse for n in look.records[:MOST_NAMES]))
        found = await asyncio.gather(
            *(self.all(*((name, kind) for kind in _ADDRESSES)) for name in names)
        )
        return dict(zip(names, found, strict=True))

    async def _ask(self, name: str, kind: str) -> Lookup:
        try:
            answer = await self.names.ask(name, kind, PATIENCE)
        except NamesUnavailableError as error:
            return Lookup(name, kind, trouble=f"DNS does not answer: {error}")
        records = answer.records
        if kind in _ADDRESSES:  # spelt as ours are
            records = tuple(str(ip_address(record)) for record in records)
        return Lookup(name, kind, records, canonical=answer.name)


def _and_above(domain: str) -> list[str]:
    """Return ``domain`` and the domains above it, but for the topmost."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(1, len(labels) - 1))]
