"""The octets of a delivery status report: multipart/report of RFC 6522, filled after RFC 3464.

Everything but a returned message with an 8-bit body is ASCII, so the report
reaches whoever could send to us. Text of remote servers is made harmless.
"""

from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime

from kernel.model.address import Address
from kernel.model.events import Stage
from kernel.model.reply import printable
from services.delivery.core.settle import Fate
from services.delivery.core.templates import Words
from services.delivery.core.wording import Facts
from services.delivery.core.xtext import said, typed

MAX_LINE = 998  # octets (RFC 5322 §2.1.1)
MAX_FIELD = 900  # characters; a line holds a name beside it
_ACTIONS = {
    Stage.FAILED: "failed",
    Stage.EXPIRED: "failed",
    Stage.DEFERRED: "delayed",
    Stage.DELIVERED: "delivered",
    Stage.RELAYED: "relayed",
    Stage.EXPANDED: "expanded",
}
"""The words of RFC 3464 §2.3.3."""
_CLASSES = {
    Stage.FAILED: "5",
    Stage.EXPIRED: "4",
    Stage.DEFERRED: "4",
    Stage.DELIVERED: "2",
    Stage.RELAYED: "2",
    Stage.EXPANDED: "2",
}


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


@dataclass(frozen=True, slots=True)
class Letter:
    """Whom a report goes to, under which id, and in what words.

    ``automatic`` is what RFC 3834 §5 calls it: an answer to a message, or not even that.
    """

    mail_id: str
    to: tuple[Address, ...]
    words: Words
    automatic: str = "auto-replied"


def report(letter: Letter, facts: Facts, told: Sequence[Fate], returned: Returned) -> bytes:
    """Return the message that says what became of the recipients in ``told``."""
    boundary = f"=_{letter.mail_id}"
    parts = (_text(letter.words.text), _status(facts, told), returned.part())
    delimiter = f"\r\n--{boundary}\r\n".encode()
    return b"".join(
        [
            _head(letter, facts, boundary),
            *(delimiter + part for part in parts),
            f"\r\n--{boundary}--\r\n".encode(),
        ]
    )


def _head(letter: Letter, facts: Facts, boundary: str) -> bytes:
    to = ",\r\n\t".join(f"<{address}>" for address in letter.to)
    fields = (
        f"From: Mail Delivery System <MAILER-DAEMON@{facts.domain}>",
        f"To: {to}",
        f"Subject: {_encoded(letter.words.subject)}",
        f"Date: {format_datetime(facts.now)}",
        f"Message-ID: <{letter.mail_id}@{facts.domain}>",
        f"Auto-Submitted: {letter.automatic}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    )
    return "".join(f"{field}\r\n" for field in fields).encode()


def _encoded(subject: str) -> str:
    """Return a subject as header fields have it (RFC 2047)."""
    subject = subject[:MAX_FIELD]
    charset = "us-ascii" if subject.isascii() else "utf-8"
    return Header(subject, charset, header_name="Subject").encode(linesep="\r\n")


def _text(text: str) -> bytes:
    octets = text.replace("\n", "\r\n").encode()
    if octets.isascii() and max(map(len, text.split("\n"))) <= MAX_LINE:
        return _part_head("text/plain; charset=us-ascii") + octets
    head = _part_head("text/plain; charset=utf-8", "Content-Transfer-Encoding: base64")
    return head + _base64(octets)


def _status(facts: Facts, told: Sequence[Fate]) -> bytes:
    original = facts.original
    head = [f"Reporting-MTA: dns; {facts.reporter}"]
    if original.envid:
        head.append(f"Original-Envelope-Id: {_ascii(said(original.envid))}")
    head.append(f"Arrival-Date: {format_datetime(original.received_at)}")
    groups = [head, *(_about(fate, facts) for fate in told)]
    text = "\r\n".join("".join(f"{field}\r\n" for field in group) for group in groups)
    return _part_head("message/delivery-status") + text.encode("ascii")


def _about(fate: Fate, facts: Facts) -> list[str]:
    """Return the fields about one recipient (RFC 3464 §2.3), in the order of the RFC."""
    kind, _, original = fate.recipient.orcpt.partition(";")
    fields = []
    if original:
        fields.append(f"Original-Recipient: {_ascii(kind)}; {_ascii(said(original))}")
    fields += [
        f"Final-Recipient: {typed(fate.recipient.address)}",
        f"Action: {_ACTIONS[fate.stage]}",
        f"Status: {_status_code(fate)}",
    ]
    if facts.remote:
        fields.append(f"Remote-MTA: dns; {_ascii(facts.remote.name)}")
    if facts.remote or _CLASSES[fate.stage] != "2":  # our own word on a success says nothing
        diagnosis = "smtp" if facts.remote else "x-postroom"
        fields.append(f"Diagnostic-Code: {diagnosis}; {_ascii(str(fate.reply))}")
    if facts.tried:
        fields.append(f"Last-Attempt-Date: {format_datetime(facts.now)}")
    if fate.stage is Stage.DEFERRED:
        fields.append(f"Will-Retry-Until: {format_datetime(facts.until)}")
    return fields


def _status_code(fate: Fate) -> str:
    """Return the status (RFC 3463), of the class that the action asks for (RFC 3464 §2.3.4)."""
    if fate.stage is Stage.EXPIRED:
        return "4.4.7"  # RFC 3463 §3.5: delivery time expired
    wanted = _CLASSES[fate.stage]
    return fate.reply.status if fate.reply.status.startswith(wanted) else f"{wanted}.0.0"


def _ascii(text: str) -> str:
    """Return foreign text as something that a header field can hold."""
    return printable(text).encode("ascii", "replace").decode()[:MAX_FIELD]


def _part_head(content_type: str, *fields: str) -> bytes:
    lines = (f"Content-Type: {content_type}", *fields, "")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _base64(octets: bytes) -> bytes:
    return encodebytes(octets).replace(b"\n", b"\r\n")
