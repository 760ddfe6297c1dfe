"""Mailing: one message as it is told to one server, in commands and chunks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from kernel.model.address import Address
from kernel.model.envelope import Body, Envelope, Recipient
from kernel.model.reply import Reply

NEEDS_SMTPUTF8 = Reply(550, "5.6.7", "The next server does not take international addresses")
NEEDS_8BITMIME = Reply(554, "5.6.3", "The next server takes 7-bit messages alone")
NEEDS_BINARYMIME = Reply(554, "5.6.3", "The next server does not take binary messages")
NEEDS_REQUIRETLS = Reply(550, "5.7.30", "No next server promises to keep the message under TLS")
TOO_MANY = Reply(452, "4.5.3", "The next server does not take as many recipients at a time")
TOO_LARGE = Reply(552, "5.3.4", "The message is larger than the next server takes")

Offers = Mapping[str, str]
"""What a server offers in its answer to EHLO: keyword to parameters."""

RECIPIENTS_AT_A_TIME = 100
"""As many as every server has to take (RFC 5321 §4.5.3.1.8)."""
_MOST_RECIPIENTS = 1_000  # even if a server takes more
_TOO_MANY_ONCE = 552  # what RFC 821 had for 452
_ESMTP_VALUE = re.compile(r"[!-<>-~]+")  # RFC 5321 §4.1.2
_LONG_LINE = re.compile(rb"[^\n]{1000}")  # of more than 998 octets and a CR (RFC 5322 §2.1.1)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Transfer(Enum):
    """How a content travels."""

    DATA = auto()
    BDAT = auto()  # in one chunk (RFC 3030 §2)
    CHUNKS = auto()  # in many, streamed


@dataclass(frozen=True, slots=True)
class Mailing:
    """An envelope and its octets; ``None`` if they are streamed.

    ``eight_bit`` says whether there may be octets over 127 among them.
    """

    envelope: Envelope
    octets: bytes | None
    eight_bit: bool

    @property
    def size(self) -> int:
        """The octets that go out: not always those that came in."""
        return self.envelope.size if self.octets is None else len(self.octets)

    @property
    def binary(self) -> bool:
        """Whether DATA cannot carry it (RFC 3030 §3): not if it is declared so without need."""
        return self.envelope.body is Body.BINARY and not (
            self.octets is not None and _has_lines(self.octets)
        )

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
    if limit.isdigit() and 0 < int(limit) < mailing.size:  # RFC 1870 §4
        return TOO_LARGE
    if is_guarded(mailing.envelope) and "REQUIRETLS" not in offers:
        return NEEDS_REQUIRETLS
    if mailing.international and "SMTPUTF8" not in offers:
        return NEEDS_SMTPUTF8
    if mailing.binary:
        there = "BINARYMIME" in offers and transfer(mailing, offers) is not Transfer.DATA
        return None if there else NEEDS_BINARYMIME
    if mailing.eight_bit and "8BITMIME" not in offers:
        return NEEDS_8BITMIME
    return None


def transfer(mailing: Mailing, offers: Offers) -> Transfer:
    """Return how a server with ``offers`` gets the content.

    A stream in chunks that waits for an answer to each is slower than DATA.
    """
    if "CHUNKING" not in offers:
        return Transfer.DATA
    if mailing.octets is not None:
        return Transfer.BDAT
    return Transfer.CHUNKS if "PIPELINING" in offers else Transfer.DATA


def recipients_at_a_time(offers: Offers) -> int:
    """Return how many recipients to tell in one transaction (RFC 9422 §4.2)."""
    return min(_limit(offers, "RCPTMAX") or RECIPIENTS_AT_A_TIME, _MOST_RECIPIENTS)


def most_mails(offers: Offers) -> int | None:
    """Return how many transactions one connection may carry, if that is said (RFC 9422 §4.1)."""
    return _limit(offers, "MAILMAX")


def refused_recipient(reply: Reply, *, others: bool) -> Reply:
    """Return what a refusal of RCPT means, when there were ``others`` before.

    552 was the word for too many of them, and is no reason to give up (RFC 5321 §4.5.3.1.10).
    With a status of its own, such as that of a full mailbox, it means what it says.
    """
    too_many = reply.status == "5.5.3" or (others and reply.status == "5.0.0")
    if reply.code == _TOO_MANY_ONCE and too_many:
        return Reply(TOO_MANY.code, TOO_MANY.status, reply.text)
    return reply


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
        parts.append(f"SIZE={mailing.size}")
    if mailing.binary:
        parts.append("BODY=BINARYMIME")
    elif mailing.eight_bit:
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


def chunk(octets: bytes, *, last: bool = False) -> bytes:
    """Return ``octets`` as a chunk: as they are, behind their number (RFC 3030 §2)."""
    return b"BDAT %d%b\r\n%b" % (len(octets), b" LAST" if last else b"", octets)


def _limit(offers: Offers, name: str) -> int | None:
    for word in offers.get("LIMITS", "").upper().split():
        key, _, value = word.partition("=")
        if key == name and value.isdecimal() and value.isascii() and int(value[:9]) > 0:
            return int(value[:9])
    return None


def _has_lines(octets: bytes) -> bool:
    """Whether it is text: lines that end in CRLF, none too long, no NUL."""
    return not (b"\0" in octets or _BARE.search(octets) or _LONG_LINE.search(octets))


def _ascii_headers(octets: bytes | None) -> bool:
    return octets is not None and octets.partition(b"\r\n\r\n")[0].isascii()


def _names_are_international(envelope: Envelope) -> bool:
    return not all(recipient.address.is_ascii for recipient in envelope.recipients)


def _parameter(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if _ESMTP_VALUE.fullmatch(value) else []
