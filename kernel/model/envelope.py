"""Envelope: what travels around a message, apart from its content (RFC 5598 §4.1)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kernel.model.address import Address

MailId = str
"""26 characters ``0-9a-z``: 48 bits of milliseconds since 1970, 80 of chance. Sorts by age."""

BlobId = str
"""Names a blob. The blob of a message is named by its mail id."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)
_DIGITS = bytes(ord(_ALPHABET[octet % 32]) for octet in range(256))
_CHANCE = 16
"""The digits of an id that are chance, at its end."""
INLINE_LIMIT = 65_536
"""Contents up to so many octets travel inside their events; larger ones are blobs."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Refers to a content that stands in the blob store. ``size`` is in octets."""

    id: BlobId
    size: int


Content = bytes | Blob
"""A message as it goes over the wire, with CRLF line ends: inline, or kept in the blob store."""


class Body(StrEnum):
    """The BODY parameter of MAIL (RFC 6152, RFC 3030)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO, and what its sender wants to be told about it (RFC 3461 §4.1, §4.2).

    ``notify`` holds NEVER, or any of SUCCESS, FAILURE, DELAY; empty is the default
    (FAILURE). ``orcpt`` is the ORCPT parameter as it came, or empty.
    """

    address: Address
    orcpt: str = ""
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent a message to whom, and where its content is.

    ``sender`` is the reverse-path; ``None`` is the null reverse-path of reports
    (RFC 5321 §4.5.5). ``submitter`` is the login name that sent it, or empty.
    ``ret`` and ``envid`` are DSN parameters (RFC 3461 §4.3, §4.4). A ``submitted`` message
    comes from somebody whom we know (RFC 6409): from the LAN, after a login, by a grant, or
    from ourselves; not from a stranger. It is not sent on before ``hold_until`` (RFC 4865).
    """

    id: MailId
    sender: Address | None
    recipients: tuple[Recipient, ...]
    content: Content
    received_at: datetime
    submitter: str = ""
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    requiretls: bool = False
    ret: str = ""
    envid: str = ""
    submitted: bool = False
    hold_until: datetime | None = None

    @property
    def size(self) -> int:
        """The content's size in octets."""
        return self.content.size if isinstance(self.content, Blob) else len(self.content)


def new_mail_id(now: datetime, entropy: Callable[[int], bytes]) -> MailId:
    """Return a fresh id. ``entropy`` gives so many random octets."""
    return _moment(now) + entropy(_CHANCE).translate(_DIGITS).decode()


def derived_mail_id(cause: str, now: datetime) -> MailId:
    """Return the id of the mail that ``cause`` brings forth: the same, however often asked.

    ``now`` must be a time that the cause fixes, such as when its mail was received.
    """
    digest = hashlib.blake2b(cause.encode(), digest_size=_CHANCE * 5 // 8).digest()
    return _moment(now) + _spell(int.from_bytes(digest, "big"), 70)


def _moment(now: datetime) -> str:
    return _spell(int(now.timestamp() * 1000), 40)


def _spell(number: int, first: int) -> str:
    """Return the digits of ``number``; the first two are its bits from ``first`` on."""
    return "".join([_PAIRS[number >> place & 1023] for place in range(first, -1, -10)])
