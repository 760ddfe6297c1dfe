"""Mailing: one message as it is told to one server, in commands and dot-stuffed octets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kernel.model.address import Address
from kernel.model.envelope import Body, Envelope, Recipient
from kernel.model.reply import Reply

NEEDS_SMTPUTF8 = Reply(550, "5.6.7", "The next server does not take international addresses")
NEEDS_8BITMIME = Reply(554, "5.6.3", "The next server takes 7-bit messages alone")
NEEDS_REQUIRETLS = Reply(550, "5.7.30", "No next server promises to keep the message under TLS")
TOO_LARGE = Reply(552, "5.3.4", "The message is larger than the next server takes")

Offers = Mapping[str, str]
"""What a server offers in its answer to EHLO: keyword to parameters."""

_ESMTP_VALUE = re.compile(r"[!-<>-~]+")  # RFC 5321 §4.1.2


@dataclass(frozen=True, slots=True)
class Mailing:
    """An envelope and its octets; ``None`` if they are streamed.

    ``eight_bit`` says whether there may be octets over 127 among them.
    """

    envelope: Envelope
    octets: bytes | None
    eight_bit: bool

    @property
    def international(self) -> bool:
        """Whether it needs a server with SMTPUTF8, whoever the recipient (RFC 6531 §3.1)."""
        sender = self.envelope.sender
        if sender is not None and not sender.is_ascii:
            return True
        return self.envelope.smtputf8 and self.eight_bit and not _ascii_headers(self.octets)


def is_guarded(envelope: Envelope) -> bool:
    """Return whether the mail may only go on under TLS (RFC 8689 §4.2.1).

    A report is better sent without than lost (§5).
    """
    return envelope.requiretls and envelope.sender is not None


def obstacle(mailing: Mailing, offers: Offers) -> Reply | None:
    """Return why a server with ``offers`` cannot have this message, if so."""
    limit = offers.get("SIZE", "")
    if limit.isdigit() and 0 < int(limit) < mailing.envelope.size:  # RFC 1870 §4
        return TOO_LARGE
    if is_guarded(mailing.envelope) and "REQUIRETLS" not in offers:
        return NEEDS_REQUIRETLS
    if mailing.international and "SMTPUTF8" not in offers:
        return NEEDS_SMTPUTF8
    binary = mailing.envelope.body is Body.BINARY  # RFC 3030 §3: needs more than we speak
    if binary or (mailing.eight_bit and "8BITMIME" not in offers):
        return NEEDS_8BITMIME
    return None


def unreachable(mailing: Mailing, offers: Offers) -> dict[Address, Reply]:
    """Return the recipients whose names a server with ``offers`` cannot be told, and why."""
    if "SMTPUTF8" in offers:
        return {}
    names = (recipient.address for recipient in mailing.envelope.recipients)
    return {name: NEEDS_SMTPUTF8 for name in names if not name.is_ascii}


def mail_command(mailing: Mailing, offers: Offers) -> bytes:
    """Return MAIL FROM with the parameters that the server offers."""
    envelope = mailing.envelope
    parts = [f"MAIL FROM:<{envelope.sender or ''}>"]
    if "SIZE" in offers:
        parts.append(f"SIZE={envelope.size}")
    if mailing.eight_bit:
        parts.append("BODY=8BITMIME")
    if "SMTPUTF8" in offers and (mailing.international or _names_are_international(envelope)):
        parts.append("SMTPUTF8")
    if envelope.requiretls and "REQUIRETLS" in offers:
        parts.append("REQUIRETLS")
    if "DSN" in offers:
        parts += _parameter("RET", envelope.ret) + _parameter("ENVID", envelope.envid)
    return f"{' '.join(parts)}\r\n".encode()


def rcpt_command(recipient: Recipient, offers: Offers) -> bytes:
    """Return RCPT TO with the parameters that the server offers."""
    if "DSN" not in offers or not (recipient.notify or recipient.orcpt):
        return f"RCPT TO:<{recipient.address}>\r\n".encode()
    notify = _parameter("NOTIFY", ",".join(recipient.notify))
    orcpt = _parameter("ORCPT", recipient.orcpt)
    return f"{' '.join([f'RCPT TO:<{recipient.address}>', *notify, *orcpt])}\r\n".encode()


class Stuffer:
    """Makes a content fit for DATA (RFC 5321 §4.5.2), chunk by chunk.

    A dot after a bare LF is doubled too: no server can then be made to see an
    end of data that we did not write.
    """

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """Return ``chunk`` with the dots doubled that begin a line."""
        if not chunk:
            return chunk
        begins_line = self._tail.endswith(b"\n")
        self._tail = (self._tail + chunk[-2:])[-2:]
        stuffed = chunk.replace(b"\n.", b"\n..")
        return b"." + stuffed if begins_line and chunk.startswith(b".") else stuffed

    def end(self) -> bytes:
        """Return the end of data; begins with a line end if the content had none."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def stuffed(octets: bytes) -> bytes:
    """Return a whole content as it follows 354, its end included."""
    stuffer = Stuffer()
    return stuffer.feed(octets) + stuffer.end()


def _ascii_headers(octets: bytes | None) -> bool:
    return octets is not None and octets.partition(b"\r\n\r\n")[0].isascii()


def _names_are_international(envelope: Envelope) -> bool:
    return not all(recipient.address.is_ascii for recipient in envelope.recipients)


def _parameter(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if _ESMTP_VALUE.fullmatch(value) else []
