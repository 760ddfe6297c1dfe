"""Prepares a leg's message for a server: what it is told, and the octets it is sent."""

from collections.abc import AsyncIterator

from kernel.blobs.port import Blobs
from kernel.model.envelope import Blob, Body
from kernel.model.events import MailRouted
from services.delivery.core.downgrade import fit_for
from services.delivery.core.mailing import Mailing
from services.delivery.core.smtp_client import SmtpClient

Chunks = AsyncIterator[bytes]


class Preparer:
    """Reads contents where they are kept."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def prepare(self, leg: MailRouted, client: SmtpClient) -> tuple[Mailing, Chunks | None]:
        """Return the mailing for ``client``'s server, and its content where that is streamed."""
        envelope = leg.envelope
        content = envelope.content
        if not isinstance(content, Blob):
            octets = fit_for(client.offers, content)
            return Mailing(envelope, octets, eight_bit=not octets.isascii()), None
        if "8BITMIME" in client.offers:
            eight_bit = envelope.smtputf8 or envelope.body is not Body.SEVEN_BIT
        else:
            eight_bit = await self._is_eight_bit(content)
        return Mailing(envelope, None, eight_bit=eight_bit), self._blobs.read(content.id)

    async def _is_eight_bit(self, blob: Blob) -> bool:
        async for chunk in self._blobs.read(blob.id):
            if not chunk.isascii():
                return True
        return False
