"""SPF: may this client use this sender's domain (RFC 7208). Evaluated by spftrace."""

from spftrace import BaseResolver, DnsError, Evaluator, Limits

from kernel.names import NamesUnavailableError
from services.ingress.checks.names import Names
from services.ingress.core.authres import AuthResult
from services.ingress.core.effects import Offer


class _Lookups(BaseResolver):
    """spftrace's questions, asked of `Names`."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            return "NOERROR", await self._names.ask(name, rtype)
        except NamesUnavailableError as error:
            raise DnsError(str(error)) from error


def spf_result(offer: Offer, verdict: str) -> AuthResult:
    """Return the verdict with the identity that it is about (RFC 8601 §2.7.2)."""
    if offer.sender is None:
        return AuthResult("spf", verdict, (("smtp.helo", offer.helo.lower()),))
    return AuthResult("spf", verdict, (("smtp.mailfrom", offer.sender.domain),))


async def check_spf(offer: Offer, names: Names, hostname: str, limit: float) -> AuthResult:
    """Return what the sender's domain says, or that of HELO for the null sender (§2.4)."""
    limits = Limits(time_limit=limit, max_queries=50)
    evaluator = Evaluator(_Lookups(names), limits, receiver=hostname)
    sender = "" if offer.sender is None else str(offer.sender)
    result = await evaluator.evaluate(offer.client, sender, offer.helo)
    return spf_result(offer, result.verdict)
