"""The policy file of MTA-STS, asked of a domain's web server (RFC 8461 §3.3)."""

import socket
import ssl
from ipaddress import IPv6Address, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kernel.mtasts import LARGEST, BadPolicyError

HTTPS = 443
_OK = 200
_TEXT = "text/plain"


class NotShownError(Exception):
    """The web server answers, but not with such a file. Says with what."""


def policy_session(
    resolver: AbstractResolver, trust: ssl.SSLContext, timeout: float
) -> aiohttp.ClientSession:
    """Return a session for `policy_text`, in which each question stands alone."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=resolver,
            ssl=trust,
            use_dns_cache=False,  # names are remembered as long as they say
            force_close=True,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"Accept": _TEXT, "Accept-Encoding": "identity"},
        auto_decompress=False,
    )


async def policy_text(session: aiohttp.ClientSession, host: str, port: int = HTTPS) -> str:
    """Return what the file says on ``host``. No other address that it may name is asked.

    Raises `NotShownError`; `BadPolicyError` where it can be no policy; and aiohttp's and the
    system's errors where there is no answer.
    """
    url = f"https://{host}:{port}/.well-known/mta-sts.txt"
    async with session.get(url, allow_redirects=False) as response:
        if response.status != _OK or response.content_type != _TEXT:
            raise NotShownError(f"the answer is {response.status}, {response.content_type}")
        octets = b""
        async for chunk in response.content.iter_chunked(LARGEST):
            octets += chunk
            if len(octets) > LARGEST:
                raise BadPolicyError(f"it is larger than {LARGEST} octets")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise BadPolicyError("it is not UTF-8") from error


def located(host: str, address: str, port: int) -> ResolveResult:
    """Return, as aiohttp's resolvers do, that ``host`` is at ``address``."""
    is_ipv6 = isinstance(ip_address(address), IPv6Address)
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
