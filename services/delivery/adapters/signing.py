"""Signs what leaves us: DKIM for what we answer for, ARC for what we only hand on.

Whatever goes wrong with a signature, the mail goes: without it, and with a line in the log.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from kernel.blobs.port import BlobMissingError, BlobsUnavailableError
from kernel.dkim.bodyhash import BodyHash
from kernel.dkim.canon import Canon
from kernel.dkim.fields import HeaderField, join_header, split_header
from kernel.model.envelope import Blob, Content
from kernel.model.events import MailRouted
from kernel.model.sending import Sending, SigningKey
from kernel.platform import Platform
from services.delivery.adapters.keyring import Keyring
from services.delivery.core.forwarding import is_forwarded
from services.delivery.core.sealing import Chain, arc_set, chain_to_seal, sealing_key
from services.delivery.core.signing import Covered, Sign, keys_for, signature
from services.delivery.metrics import count_signature

MAX_HEADER = 262_144
"""Octets of a header section that is signed: it is kept in memory."""
REMEMBERED = 1_000
"""Messages whose signatures are kept: one that goes to many places is signed once."""

Fields = tuple[HeaderField, ...]
Make = Callable[[Sign], Fields]
_END_OF_HEADER = b"\r\n\r\n"
_log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class _Job:
    """By which keys to sign, and the chain to seal."""

    signers: tuple[SigningKey, ...]
    sealer: SigningKey | None
    chain: Chain | None

    def __bool__(self) -> bool:
        return bool(self.signers or (self.sealer and self.chain))


class Signer:
    """Signs by the keys that ``sending`` has now."""

    def __init__(self, platform: Platform, sending: Callable[[], Sending]) -> None:
        self._platform = platform
        self._sending = sending
        self._keys = Keyring()
        self._known = Sending()
        self._made: OrderedDict[object, asyncio.Task[bytes]] = OrderedDict()

    async def fields_for(self, leg: MailRouted, content: Content) -> bytes:
        """Return the signatures that go before ``content`` on ``leg``, or nothing.

        Raises `BlobMissingError`, `BlobsUnavailableError`.
        """
        sending = self._renewed()
        forwarded = is_forwarded(leg)
        if not sending.keys or not (leg.envelope.submitted or forwarded):
            return b""
        name = (_name_of(content), leg.envelope.submitted, forwarded)
        made = self._made.get(name)
        if made is None:
            made = asyncio.create_task(self._fields_for(leg, content, sending))
            self._remember(name, made)
        return await asyncio.shield(made)

    def _renewed(self) -> Sending:
        """Return what stands now; what was signed by other keys is signed again."""
        sending, known = self._sending(), self._known
        if sending is not known:
            self._known = sending
            if (sending.keys, sending.domains) != (known.keys, known.domains):
                self._made.clear()
                self._keys.keep(sending.keys)
        return sending

    def _remember(self, name: object, made: asyncio.Task[bytes]) -> None:
        def look(done: asyncio.Task[bytes]) -> None:
            if (done.cancelled() or done.exception()) and self._made.get(name) is done:
                del self._made[name]

        self._made[name] = made
        made.add_done_callback(look)
        if len(self._made) > REMEMBERED:
            self._made.popitem(last=False)

    async def _fields_for(self, leg: MailRouted, content: Content, sending: Sending) -> bytes:
        try:
            return await self._sign(leg, content, sending)
        except (BlobMissingError, BlobsUnavailableError):
            raise
        except Exception:  # noqa: BLE001 - our own fault delays nobody's mail
            _log.exception("signing broke: the mail goes unsigned", mail=leg.envelope.id)
            count_signature("any", made=False)
            return b""

    async def _sign(self, leg: MailRouted, content: Content, sending: Sending) -> bytes:
        chunks = self._chunks(content)
        header, body = await _header_of(chunks)
        if len(header) > MAX_HEADER:
            _log.error("the header is too big: the mail goes unsigned", mail=leg.envelope.id)
            count_signature("any", made=False)
            return b""
        fields = split_header(header)
        job = self._job(leg, fields, sending)
        if not job:
            return b""
        reader = BodyHash(Canon(relaxed=True))
        reader.feed(body)
        async for chunk in chunks:
            await asyncio.to_thread(reader.feed, chunk)
        at = int(self._platform.clock().timestamp())
        covered = Covered(fields, reader.digest(), at)
        return join_header(await self._signatures(leg, job, covered))

    def _job(self, leg: MailRouted, fields: tuple[HeaderField, ...], sending: Sending) -> _Job:
        settings = self._platform.settings
        signers = keys_for(fields, sending) if leg.envelope.submitted else ()
        sealer = sealing_key(leg, sending, settings.domain)
        chain = chain_to_seal(fields, settings.hostname) if sealer else None
        return _Job(signers, sealer, chain)

    async def _signatures(self, leg: MailRouted, job: _Job, covered: Covered) -> list[HeaderField]:
        fields: list[HeaderField] = []
        for key in job.signers:
            fields += await self._by(key, leg, "dkim", partial(_by_dkim, key, covered))
        if job.sealer and job.chain:
            seal = partial(arc_set, job.chain, job.sealer, covered)
            fields += await self._by(job.sealer, leg, "arc", seal)
        return fields

    async def _by(self, key: SigningKey, leg: MailRouted, kind: str, make: Make) -> Fields:
        """Return what ``make`` makes with ``key``; nothing if the key, or its name, is broken."""
        try:
            made = make(await self._keys.open(key))
        except ValueError as error:
            about = {"domain": key.domain, "selector": key.selector, "why": str(error)}
            _log.error("cannot sign: the mail goes without", mail=leg.envelope.id, **about)
            count_signature(kind, made=False)
            return ()
        count_signature(kind, made=True)
        return made

    async def _chunks(self, content: Content) -> AsyncIterator[bytes]:
        if isinstance(content, bytes):
            yield content
            return
        async for chunk in self._platform.blobs.read(content.id):
            yield chunk


def _name_of(content: Content) -> object:
    return content if isinstance(content, Blob) else hashlib.blake2b(content).digest()


def _by_dkim(key: SigningKey, covered: Covered, sign: Sign) -> Fields:
    return (signature(key, covered, sign),)


async def _header_of(chunks: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """Return the header section, and what has been read of the body."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if _END_OF_HEADER in head or len(head) > MAX_HEADER:
            break
    header, _, body = head.partition(_END_OF_HEADER)
    return header, body
