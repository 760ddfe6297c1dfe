"""Inspection: what the checks must know of a message, reckoned while it comes in."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from kernel.dkim.bodyhash import BodyHash
from kernel.dkim.fields import split_header
from services.ingress.checks.port import Arrival, BodyFacts
from services.ingress.core.admission import has_header, header_of
from services.ingress.core.arc import Chain, chain_in
from services.ingress.core.authres import without_forged
from services.ingress.core.dkim import Signature, signatures_in
from services.ingress.core.effects import Offer

MAX_HEADER = 131_072
"""Octets that a stranger's header section may have: it is kept in memory."""
_CRLF = b"\r\n"


def is_whole(head: bytes) -> bool:
    """Return whether all of the header section is in ``head``."""
    return not has_header(head) or len(header_of(head)) < len(head)


class Inspection:
    """Watches one message. ``head`` holds all of its header section, and perhaps more."""

    def __init__(self, head: bytes) -> None:
        self._header = header_of(head) if has_header(head) else b""
        self._fields = split_header(self._header)
        self._signatures = tuple(signatures_in(self._fields))
        self._chain = chain_in(self._fields)
        canons = {one.canon for one in self._signatures if isinstance(one, Signature)}
        if isinstance(self._chain, Chain):
            canons.add(self._chain.message.canon)
        self._bodies = {canon: BodyHash(canon) for canon in canons}
        self._size = len(self._header)
        self.feed(head[len(self._header) :], is_first=True)

    @property
    def header_size(self) -> int:
        """Octets of the header section, as far as it was in ``head``."""
        return len(self._header)

    @property
    def is_costly(self) -> bool:
        """Whether signatures want the body reckoned."""
        return bool(self._bodies)

    def feed(self, octets: bytes, *, is_first: bool = False) -> None:
        """Take in what follows the header section: an empty line, then the body."""
        self._size += len(octets)
        body = octets.removeprefix(_CRLF) if is_first and self._header else octets
        for reader in self._bodies.values():
            reader.feed(body)

    def arrival(
        self, offer: Offer, at: datetime, content: Callable[[], AsyncIterator[bytes]]
    ) -> Arrival:
        """Return the complete message as the checks see it."""
        facts = {c: BodyFacts(b.digest(), b.is_partial) for c, b in self._bodies.items()}
        return Arrival(
            offer, at, self._fields, self._signatures, self._chain, facts, self._size, content
        )

    def cleaned(self, first: bytes, hostname: str) -> bytes:
        """Return the beginning of the message without results that claim to be ours."""
        return without_forged(self._header, hostname) + first[len(self._header) :]

    async def without_forged(
        self, content: AsyncIterator[bytes], hostname: str
    ) -> AsyncIterator[bytes]:
        """Yield the message without results that claim to be ours."""
        first = b""
        async for chunk in content:
            first += chunk
            if len(first) >= len(self._header):
                yield self.cleaned(first, hostname)
                break
        async for chunk in content:
            yield chunk
