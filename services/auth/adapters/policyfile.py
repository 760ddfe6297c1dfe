"""Fetches the policy file of MTA-STS, as other servers do (RFC 8461 §3.3)."""

import socket
import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kernel.mtasts import BadPolicyError
from kernel.policyfile import HTTPS, NotShownError, located, policy_session, policy_text
from services.auth.core.survey import Fetched


async def fetch_policy(
    name: str,
    addresses: Sequence[str],
    patience: float,
    *,
    port: int = HTTPS,
    trust: ssl.SSLContext | None = None,
) -> Fetched:
    """Return the file that the host ``name`` shows at ``addresses``, or why it is not to be had."""
    if not addresses:
        return Fetched(trouble=f"{name} has no address")
    trusted = trust or ssl.create_default_context()
    try:
        async with policy_session(_Fixed(addresses), trusted, patience) as session:
            return Fetched(await policy_text(session, name, port))
    except TimeoutError:
        return Fetched(trouble="no answer in time")
    except (NotShownError, BadPolicyError, aiohttp.ClientError, OSError) as error:
        return Fetched(trouble=str(error) or type(error).__name__)


class _Fixed(AbstractResolver):
    """Knows where the one host is."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return its addresses."""
        del family
        return [located(host, address, port) for address in self._addresses]

    async def close(self) -> None:
        """Have nothing to close."""
