"""The header fields that we put before a message.

``Received`` (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3) always; on submission also a
``Date`` and a ``Message-ID`` where the client gave none (RFC 6409 §8).
"""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from services.ingress.core.admission import has_header, header_of
from services.ingress.core.effects import Offer

_DATE = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)
RELAY = "mx"
"""The listener on which servers relay; on the others users submit (RFC 6409)."""


def fields_before(offer: Offer, head: bytes, hostname: str, now: datetime) -> bytes:
    """Return what goes before a message that begins with ``head``.

    Where a body begins at once, an empty line keeps it from being taken for header.
    """
    date = _date(int(now.timestamp()))
    fields = _received(offer, hostname, date)
    begins_with_header = has_header(head)
    if offer.listener != RELAY:
        header = header_of(head) if begins_with_header else b""
        if not _DATE.search(header):
            fields += f"Date: {date}\r\n"
        if not _MESSAGE_ID.search(header):
            fields += f"Message-ID: <{offer.id}@{hostname}>\r\n"
    return fields.encode() if begins_with_header else f"{fields}\r\n".encode()


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _received(offer: Offer, hostname: str, date: str) -> str:
    tls = f" ({offer.tls.version} {offer.tls.cipher})" if offer.tls else ""
    whom = f"\r\n\tfor <{offer.recipients[0].address}>" if len(offer.recipients) == 1 else ""
    rules = offer.rules[0] if len(offer.rules) == 1 else ", ".join(dict.fromkeys(offer.rules))
    return (
        f"Received: from {offer.helo} ({literal(offer.client)})\r\n"
        f"\tby {hostname} with {offer.protocol}{tls}\r\n"
        f"\tid {offer.id}{whom} (rule {rules});\r\n"
        f"\t{date}\r\n"
    )


def literal(client: str) -> str:
    """Return an IP address as a literal (RFC 5321 §4.1.3)."""
    return f"[IPv6:{client}]" if ":" in client else f"[{client}]"


def protocol(*, extended: bool, smtputf8: bool, tls: bool, login: bool) -> str:
    """Return the registered name of how the mail came (RFC 3848, RFC 6531 §4.3)."""
    if not extended:
        return "SMTP"
    name = "UTF8SMTP" if smtputf8 else "ESMTP"
    return name + ("S" if tls else "") + ("A" if login else "")
