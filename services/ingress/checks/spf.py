"""SPF: may this client use this sender's domain (RFC 7208). Said as RFC 8601 has it."""

from kernel.spf import spf_verdict
from services.ingress.checks.names import Names
from services.ingress.core.authres import AuthResult
from services.ingress.core.effects import Offer


def spf_result(offer: Offer, verdict: str) -> AuthResult:
    """Return the verdict with the identity that it is about (RFC 8601 §2.7.2)."""
    if offer.sender is None:
        return AuthResult("spf", verdict, (("smtp.helo", offer.helo.lower()),))
    return AuthResult("spf", verdict, (("smtp.mailfrom", offer.sender.domain),))


async def check_spf(offer: Offer, names: Names, hostname: str, limit: float) -> AuthResult:
    """Return what the sender's domain says, or that of HELO for the null sender (§2.4)."""
    sender = "" if offer.sender is None else str(offer.sender)
    verdict = await spf_verdict(
        names.ask, offer.client, sender, offer.helo, receiver=hostname, patience=limit
    )
    return spf_result(offer, verdict)
