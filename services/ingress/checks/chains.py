"""Chains: verifies ARC's, with keys from DNS (RFC 8617 §5.2)."""

import asyncio

from kernel.dkim.arc import BadChainError
from kernel.names import NamesUnavailableError
from services.ingress.checks.names import Names
from services.ingress.checks.port import Arrival
from services.ingress.checks.signatures import verify, verify_message
from services.ingress.core.arc import Chain
from services.ingress.core.authres import AuthResult
from services.ingress.core.dkim import BadSignatureError


async def check_chain(arrival: Arrival, chain: Chain | BadChainError, names: Names) -> AuthResult:
    """Return whether the chain holds: all its seals, and the latest signature of the message."""
    if isinstance(chain, BadChainError):
        return chain_result(arrival, "fail", str(chain))
    seals = (verify(seal.signer, seal.octets, names) for seal in chain.seals)
    message = verify_message(arrival, chain.message, names)
    errors = await asyncio.gather(message, *seals, return_exceptions=True)
    for error in errors:
        if isinstance(error, BadSignatureError):
            return chain_result(arrival, "fail", str(error))
    for error in errors:
        if isinstance(error, NamesUnavailableError):
            return chain_result(arrival, "temperror", "no answer about a key")
        if error is not None:
            raise error
    return chain_result(arrival, "pass")


def chain_result(arrival: Arrival, result: str, reason: str = "") -> AuthResult:
    """Return a result, and of whom we have the message (RFC 8617 §10.2)."""
    return AuthResult("arc", result, (("smtp.remote-ip", arrival.offer.client),), reason)
