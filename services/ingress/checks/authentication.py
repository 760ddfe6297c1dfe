"""Authentication: SPF, DKIM, ARC and DMARC of a message, asked about at the same time.

What DNS does not tell in time is a `temperror`, and refuses nothing.
"""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from publicsuffixlist import PublicSuffixList

from kernel.dkim.arc import BadChainError
from kernel.dkim.authors import author_domains
from kernel.model.reply import Reply
from kernel.names import NamesUnavailableError
from services.ingress.checks.chains import chain_result, check_chain
from services.ingress.checks.names import Names
from services.ingress.checks.port import Arrival
from services.ingress.checks.settings import Dmarc
from services.ingress.checks.signatures import check_signature, result_of
from services.ingress.checks.spf import check_spf, spf_result
from services.ingress.core.arc import Chain
from services.ingress.core.authres import AuthResult
from services.ingress.core.checks import Finding
from services.ingress.core.dkim import BadSignatureError, Signature
from services.ingress.core.dmarc import (
    Judgement,
    Policy,
    Record,
    judge,
    parse_record,
)

DMARC_FAILED = Reply(550, "5.7.26", "The domain in From wants this refused (DMARC)")  # RFC 7372
NO_ONE_AUTHOR = Reply(550, "5.7.26", "From must name one domain (DMARC)")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """The record that holds for an author, if there is one; its own or its organisation's."""

    record: Record | None
    own: bool = True


@dataclass(frozen=True, slots=True)
class Authentication:
    """The check. ``patience`` is in seconds."""

    names: Names
    suffixes: PublicSuffixList
    hostname: str
    dmarc: Dmarc
    patience: float
    name: str = "authentication"

    @property
    def limit(self) -> float:
        """More than its parts may take: they end by themselves, each with a result."""
        return self.patience + 1.0

    async def preview(self, arrival: Arrival) -> Finding:
        """Return what SPF says: all else is about the message."""
        result = await self._spf(arrival)
        return Finding(self.name, result.result, (result,))

    async def examine(self, arrival: Arrival) -> Finding:
        """Return the results of all of them."""
        authors = author_domains(arrival.fields)
        author = next(iter(authors)) if authors and len(authors) == 1 else ""
        found, results = await asyncio.gather(
            self._in_time(self._record(author), None), self._results(arrival)
        )
        judgement = self._judge(authors, author, found, results)
        return self._conclude(judgement, results)

    async def _results(self, arrival: Arrival) -> list[AuthResult]:
        signatures = (self._dkim(arrival, signature) for signature in arrival.signatures)
        chains = (self._arc(arrival, chain) for chain in (arrival.chain,) if chain is not None)
        results = await asyncio.gather(self._spf(arrival), *signatures, *chains)
        return results if arrival.signatures else [*results, AuthResult("dkim", "none")]

    async def _arc(self, arrival: Arrival, chain: Chain | BadChainError) -> AuthResult:
        check = check_chain(arrival, chain, self.names)
        late = chain_result(arrival, "temperror", "no answer in time")
        return await self._in_time(check, late)

    async def _spf(self, arrival: Arrival) -> AuthResult:
        offer = arrival.offer
        check = check_spf(offer, self.names, self.hostname, self.patience)
        return await self._in_time(check, spf_result(offer, "temperror"))

    async def _dkim(self, arrival: Arrival, signature: Signature | BadSignatureError) -> AuthResult:
        check = check_signature(arrival, signature, self.names)
        if isinstance(signature, BadSignatureError):
            return await check
        return await self._in_time(check, result_of(signature, "temperror", "no answer in time"))

    async def _record(self, author: str) -> Found | None:
        """Return what DNS says of an author's domain (RFC 7489 §6.6.3); None if it does not say."""
        if not author or author.startswith("["):
            return Found(None)
        try:
            record = parse_record(await self.names.ask(f"_dmarc.{author}", "TXT"))
            above = self._organisation(author)
            if record is not None or above == author:
                return Found(record)
            return Found(parse_record(await self.names.ask(f"_dmarc.{above}", "TXT")), own=False)
        except NamesUnavailableError:
            return None

    def _organisation(self, domain: str) -> str:
        return self.suffixes.privatesuffix(domain) or domain

    async def _in_time(self, work: Coroutine[Any, Any, T], otherwise: T) -> T:
        try:
            async with asyncio.timeout(self.patience):
                return await work
        except TimeoutError:
            return otherwise

    def _judge(
        self,
        authors: Collection[str] | None,
        author: str,
        found: Found | None,
        results: Sequence[AuthResult],
    ) -> Judgement:
        if authors is None or len(authors) > 1:
            return Judgement(AuthResult("dmarc", "permerror", reason=NO_ONE_AUTHOR.text))
        if found is None:
            return Judgement(AuthResult("dmarc", "temperror", (("header.from", author),)))
        return judge(author, found.record, results, self._organisation, own_record=found.own)

    def _conclude(self, judgement: Judgement, results: Sequence[AuthResult]) -> Finding:
        policy = judgement.policy if self.dmarc is Dmarc.OBEY else Policy.NONE
        refusal = DMARC_FAILED if policy is Policy.REJECT else None
        if self.dmarc is Dmarc.OBEY and judgement.result.result == "permerror":
            refusal = NO_ONE_AUTHOR
        return Finding(
            self.name,
            judgement.result.result,
            (*results, judgement.result),
            refusal,
            suspicious=policy is Policy.QUARANTINE,
        )
