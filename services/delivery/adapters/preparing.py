"""Prepares a leg's message for a server: what it is told, and the octets it is sent.

In this order: first it is settled which octets go out, then they are signed. Whatever changes
them later breaks the signatures.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

from kernel.model.address import Address
from kernel.model.envelope import Blob, Body, Content, Envelope
from kernel.model.events import MailRouted
from kernel.model.sending import Sending
from kernel.platform import Platform
from services.delivery.adapters.signing import Signer
from services.delivery.core.downgrade import fit_for
from services.delivery.core.forwarding import sender_of
from services.delivery.core.mailing import Mailing
from services.delivery.core.smtp_client import SmtpClient

Chunks = Callable[[], AsyncIterator[bytes]]
"""Reads a content from its beginning, each time it is called."""
_CRLF = b"\r\n"


class Preparer:
    """Reads contents where they are kept; signs them by what ``sending`` says."""

    def __init__(self, platform: Platform, sending: Callable[[], Sending]) -> None:
        self._platform = platform
        self._sending = sending
        self._signer = Signer(platform, sending)

    async def prepare(self, leg: MailRouted, client: SmtpClient) -> tuple[Mailing, Chunks | None]:
        """Return the mailing for ``client``'s server, and its content where that is streamed."""
        content = leg.envelope.content
        if isinstance(content, bytes):
            content = fit_for(client.offers, content)
        signatures = await self._signer.fields_for(leg, content)
        is_text = bool(signatures) and leg.envelope.body is not Body.BINARY
        whole = _around(signatures, content, is_text=is_text)
        envelope = replace(leg.envelope, sender=self._sender(leg), content=whole)
        if isinstance(whole, bytes):
            return Mailing(envelope, whole, eight_bit=not whole.isascii()), None
        eight_bit = await self._is_eight_bit(leg.envelope, whole, client)
        chunks = partial(self._chunks, signatures, whole, is_text=is_text)
        return Mailing(envelope, None, eight_bit=eight_bit), chunks

    def _sender(self, leg: MailRouted) -> Address | None:
        home, now = self._platform.settings.domain, self._platform.clock()
        return sender_of(leg, self._sending(), home, now)

    async def _chunks(
        self, signatures: bytes, blob: Blob, *, is_text: bool
    ) -> AsyncIterator[bytes]:
        yield signatures
        end = b""
        async for chunk in self._platform.blobs.read(blob.id):
            end = (end + chunk[-2:])[-2:]
            yield chunk
        if is_text and end != _CRLF:
            yield _CRLF

    async def _is_eight_bit(self, envelope: Envelope, blob: Blob, client: SmtpClient) -> bool:
        if "8BITMIME" in client.offers:
            return envelope.smtputf8 or envelope.body is not Body.SEVEN_BIT
        async for chunk in self._platform.blobs.read(blob.id):
            if not chunk.isascii():
                return True
        return False


def _around(signatures: bytes, content: Content, *, is_text: bool) -> Content:
    """Return ``content`` with ``signatures`` before it; a blob tells its size alone.

    Signed text ends its last line, as DATA would have it: chunks leave it open, and what counts
    of such a line is not the same to all who verify.
    """
    if isinstance(content, Blob):
        return replace(content, size=len(signatures) + content.size)
    end = b"" if not is_text or content.endswith(_CRLF) else _CRLF
    return signatures + content + end
