"""The octets of a delivery status report: multipart/report of RFC 6522, filled after RFC 3464.

Everything but a returned message with an 8-bit body is ASCII, so the report
reaches whoever could send to us. Text of remote servers is made harmless.
"""

import re
from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from kernel.model.address import Address
from kernel.model.envelope import Envelope
from kernel.model.events import Stage
from kernel.model.reply import printable
from services.delivery.core.routes import Host
from services.delivery.core.settle import Fate

MAX_FIELD = 900  # characters; a line holds 998 (RFC 5322 §2.1.1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report says, beside whom it is about. ``remote`` is who refused, if anybody did."""

    original: Envelope
    reporter: str
    domain: str
    remote: Host | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Returned:
    """The part of the original that goes back. ``whole``, or its headers alone."""

    octets: bytes
    whole: bool

    def part(self) -> bytes:
        """Return it as a MIME part, with the kindest encoding that its type allows."""
        octets = self.octets if self.octets.endswith(b"\r\n") else self.octets + b"\r\n"
        head, _, body = octets.partition(b"\r\n\r\n")
        if not head.isascii():  # RFC 6532 §3.7, RFC 6533 §6.3
            kind = "message/global" if self.whole else "message/global-headers"
            return _part_head(kind, "Content-Transfer-Encoding: base64") + _base64(octets)
        if not self.whole:
            return _part_head("text/rfc822-headers") + octets
        encoding = "7bit" if body.isascii() else "8bit"
        return _part_head("message/rfc822", f"Content-Transfer-Encoding: {encoding}") + octets


def report(
    facts: Facts, failures: Sequence[Fate], returned: Returned, to: Address, mail_id: str
) -> bytes:
    """Return the message that tells ``to`` what became of its mail."""
    boundary = f"=_{mail_id}"
    parts = (_explanation(facts, failures), _status(facts, failures), returned.part())
    delimiter = f"\r\n--{boundary}\r\n".encode()
    return b"".join(
        [
            _head(facts, to, mail_id, boundary),
            *(delimiter + part for part in parts),
            f"\r\n--{boundary}--\r\n".encode(),
        ]
    )


def _head(facts: Facts, to: Address, mail_id: str, boundary: str) -> bytes:
    fields = (
        f"From: Mail Delivery System <MAILER-DAEMON@{facts.domain}>",
        f"To: <{to}>",
        "Subject: Your message could not be delivered",
        f"Date: {format_datetime(facts.now)}",
        f"Message-ID: <{mail_id}@{facts.domain}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    )
    return "".join(f"{field}\r\n" for field in fields).encode()


def _explanation(facts: Facts, failures: Sequence[Fate]) -> bytes:
    lines = [
        f"This is the mail system at {facts.reporter}.",
        "",
        "Your message could not be delivered to the following recipients, and will not",
        "be tried again. It is attached, or its headers are.",
    ]
    for failure in failures:
        lines += ["", f"<{failure.recipient.address}>:", f"    {_last_word(failure, facts)}"]
    octets = "".join(f"{line}\r\n" for line in lines).encode()
    if octets.isascii():
        return _part_head("text/plain; charset=us-ascii") + octets
    head = _part_head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64")
    return head + _base64(octets)


def _last_word(failure: Fate, facts: Facts) -> str:
    expired = "tried for too long; at last, " if failure.stage is Stage.EXPIRED else ""
    return f"{expired}{facts.remote or 'this system'} said: {_ascii(str(failure.reply))}"


def _status(facts: Facts, failures: Sequence[Fate]) -> bytes:
    original = facts.original
    head = [f"Reporting-MTA: dns; {facts.reporter}"]
    if original.envid:
        head.append(f"Original-Envelope-Id: {_ascii(unxtext(original.envid))}")
    head.append(f"Arrival-Date: {format_datetime(original.received_at)}")
    groups = [head, *(_about(failure, facts) for failure in failures)]
    text = "\r\n".join("".join(f"{field}\r\n" for field in group) for group in groups)
    return _part_head("message/delivery-status") + text.encode("ascii")


def _about(failure: Fate, facts: Facts) -> list[str]:
    """Return the fields about one recipient (RFC 3464 §2.3), in the order of the RFC."""
    recipient, reply = failure.recipient, failure.reply
    kind, _, original = recipient.orcpt.partition(";")
    fields = []
    if original:
        fields.append(f"Original-Recipient: {_ascii(kind)}; {_ascii(unxtext(original))}")
    fields += [
        f"Final-Recipient: {typed_address(recipient.address)}",
        "Action: failed",
        f"Status: {_status_code(failure)}",
    ]
    if facts.remote:
        fields.append(f"Remote-MTA: dns; {_ascii(facts.remote.name)}")
    diagnosis = "smtp" if facts.remote else "x-postroom"
    fields.append(f"Diagnostic-Code: {diagnosis}; {_ascii(str(reply))}")
    fields.append(f"Last-Attempt-Date: {format_datetime(facts.now)}")
    return fields


def _status_code(failure: Fate) -> str:
    if failure.stage is Stage.EXPIRED:
        return "4.4.7"  # RFC 3463 §3.5: delivery time expired
    return failure.reply.status or "5.0.0"


def typed_address(address: Address) -> str:
    """Return an address with its type, spelt in ASCII (RFC 3464 §2.3.2, RFC 6533 §3)."""
    if address.is_ascii:
        return f"rfc822; {address}"
    spelt = re.sub(r"[^!-~]|[+=\\]", lambda c: f"\\x{{{ord(c[0]):X}}}", str(address))
    return f"utf-8; {spelt}"


def unxtext(text: str) -> str:
    """Return what an xtext says (RFC 3461 §4)."""
    return re.sub(r"\+([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), text)


def _ascii(text: str) -> str:
    """Return foreign text as something that a header field can hold."""
    return printable(text).encode("ascii", "replace").decode()[:MAX_FIELD]


def _part_head(content_type: str, *fields: str) -> bytes:
    lines = (f"Content-Type: {content_type}", *fields, "")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _base64(octets: bytes) -> bytes:
    return encodebytes(octets).replace(b"\n", b"\r\n")
