"""Client: what DNS says of the client's address, by lists and by its own name."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from kernel.model.reply import Reply
from kernel.names import NamesUnavailableError
from services.ingress.checks.names import Names
from services.ingress.checks.port import Arrival, CheckUnavailableError
from services.ingress.core.authres import AuthResult
from services.ingress.core.checks import Finding
from services.ingress.core.dnslists import DnsList

NO_NAME = Reply(550, "5.7.25", "Your address has no name that leads back to it")  # RFC 7372 §3.3
_MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class DnsLists:
    """Refuses who stands on any of the lists (RFC 5782)."""

    names: Names
    lists: Sequence[DnsList]
    limit: float
    name: str = "dnslists"

    def preview(self, arrival: Arrival) -> Coroutine[Any, Any, Finding]:
        """Return the same as with a message: it is about the client alone."""
        return self.examine(arrival)

    async def examine(self, arrival: Arrival) -> Finding:
        """Return whether the client is listed. One list that is silent does not hide another."""
        answers = await asyncio.gather(*(self._is_on(one, arrival) for one in self.lists))
        hits = [one.zone for one, hit in zip(self.lists, answers, strict=True) if hit]
        if hits:
            refusal = Reply(554, "5.7.1", f"Your address is listed by {hits[0]}")
            return Finding(self.name, "listed", refusal=refusal)
        if None in answers:
            raise CheckUnavailableError("a list did not answer")
        return Finding(self.name, "unlisted")

    async def _is_on(self, one: DnsList, arrival: Arrival) -> bool | None:
        try:
            return one.is_hit(await self.names.ask(one.name_for(arrival.offer.client), "A"))
        except NamesUnavailableError:
            return None


@dataclass(frozen=True, slots=True)
class ReverseName:
    """Whether the client's address has a name that leads back to it (RFC 8601 §3, iprev)."""

    names: Names
    refuses: bool
    limit: float
    name: str = "reverse"

    def preview(self, arrival: Arrival) -> Coroutine[Any, Any, Finding]:
        """Return the same as with a message: it is about the client alone."""
        return self.examine(arrival)

    async def examine(self, arrival: Arrival) -> Finding:
        """Return ``iprev``, and the refusal of who has no such name if that is wanted."""
        client = arrival.offer.client
        outcome = await self._look_up(client)
        is_bad = self.refuses and outcome in {"fail", "permerror"}
        result = AuthResult("iprev", outcome, (("policy.iprev", client),))
        return Finding(self.name, outcome, (result,), NO_NAME if is_bad else None)

    async def _look_up(self, client: str) -> str:
        kind = "AAAA" if ":" in client else "A"
        try:
            names = await self.names.ask(ip_address(client).reverse_pointer, "PTR")
            asked = (self.names.ask(name, kind) for name in names[:_MAX_NAMES])
            answers = await asyncio.gather(*asked)
        except NamesUnavailableError as error:
            if self.refuses:
                raise CheckUnavailableError(str(error)) from error
            return "temperror"
        if not names:
            return "permerror"
        found = {ip_address(address) for addresses in answers for address in addresses}
        return "pass" if ip_address(client) in found else "fail"
