"""Fetches the policy file of MTA-STS, as other servers do (RFC 8461 §3.3)."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kernel.mtasts import LARGEST
from services.auth.core.survey import Fetched

HTTPS = 443
_OK = 200
_TEXT = "text/plain"


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
    connector = aiohttp.TCPConnector(
        resolver=_Fixed(addresses), ssl=trust or ssl.create_default_context(), force_close=True
    )
    timeout = aiohttp.ClientTimeout(total=patience)
    url = f"https://{name}:{port}/.well-known/mta-sts.txt"
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return await _read(response)
    except TimeoutError:
        return Fetched(trouble="no answer in time")
    except (aiohttp.ClientError, OSError) as error:
        return Fetched(trouble=str(error) or type(error).__name__)


async def _read(response: aiohttp.ClientResponse) -> Fetched:
    if response.status != _OK or response.content_type != _TEXT:
        return Fetched(trouble=f"the answer is {response.status}, {response.content_type}")
    try:
        octets = await response.content.readexactly(LARGEST + 1)
    except asyncio.IncompleteReadError as end:
        octets = end.partial
    if len(octets) > LARGEST:
        return Fetched(trouble=f"it is larger than {LARGEST} octets")
    try:
        return Fetched(octets.decode())
    except UnicodeDecodeError:
        return Fetched(trouble="it is not UTF-8")


class _Fixed(AbstractResolver):
    """Knows where the one host is."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return its addresses."""
        del family
        return [_result(host, address, port) for address in self._addresses]

    async def close(self) -> None:
        """Have nothing to close."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    is_ipv6 = isinstance(ip_address(address), IPv6Address)
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
