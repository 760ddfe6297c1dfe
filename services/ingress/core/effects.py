"""What a session wants done, and the facts it hands along.

A session says `Admit`, `Pause`, `Decide`, `Login`, `StartTls`, `Take`, `Seal` or `Introduced` and
then waits for the answer; what the client sends meanwhile stands in line.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from kernel.model.address import Address
from kernel.model.envelope import Body, MailId, Recipient
from kernel.model.questions import AdmissionQuestion, LoginQuestion, RelayQuestion
from kernel.model.reply import Reply


@dataclass(frozen=True, slots=True)
class Tls:
    """The protection that a client uses: ``TLSv1.3``, ``TLS_AES_256_GCM_SHA384``.

    ``binding`` is what a login can be bound to (RFC 5929), empty if there is nothing.
    ``certificate`` is the fingerprint of the client's, ``sha256:…``, and ``holder`` whom it names.
    """

    version: str
    cipher: str
    binding: bytes = b""
    certificate: str = ""
    holder: str = ""


class Offer(NamedTuple):
    """A message that a client offers: its transaction up to DATA, and who the client is.

    A tuple: of so many fields, that is made in a third of a frozen dataclass's time.

    ``rules`` names the rule that let each recipient in, in the order of ``recipients``.
    ``stranger`` is what auth says of the client: nothing tells who it is.
    """

    id: MailId
    listener: str
    client: str
    helo: str
    protocol: str
    tls: Tls | None
    sender: Address | None
    recipients: tuple[Recipient, ...]
    rules: tuple[str, ...]
    submitter: str
    body: Body
    smtputf8: bool
    ret: str
    envid: str
    stranger: bool = False
    requiretls: bool = False
    hold_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Send these octets to the client."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection once everything is sent."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Ask whether the client may come in. Answer: `Session.admitted`."""

    question: AdmissionQuestion


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask whether these recipients of ``mail`` may be taken. Answer: `Session.decided`."""

    questions: tuple[RelayQuestion, ...]
    mail: MailId


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so long, and until the client has read what was said. Answer: `Session.resumed`."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Limited:
    """The client met this limit: for the log."""

    limit: str


@dataclass(frozen=True, slots=True)
class Login:
    """Ask whether this login is right. Answer: `Session.logged_in`."""

    question: LoginQuestion


@dataclass(frozen=True, slots=True)
class StartTls:
    """Take up TLS now, and ask for the client's certificate or not. Answer: `Session.secured`."""

    asks: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """Make this whole message ours. Answer: `Session.stored`."""

    offer: Offer
    content: bytes


@dataclass(frozen=True, slots=True)
class Open:
    """A large message begins with ``head``; `Pour` follows, then `Seal` or `Spill`."""

    offer: Offer
    head: bytes


@dataclass(frozen=True, slots=True)
class Pour:
    """The next octets of the open message."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """The open message is complete: make it ours. Answer: `Session.stored`."""


@dataclass(frozen=True, slots=True)
class Spill:
    """Forget the open message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient was refused: for the log."""

    mail: MailId
    sender: Address | None
    recipient: Address
    reply: Reply
    rule: str
    submitter: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message was refused for what it holds: for the log."""

    mail: MailId
    sender: Address | None
    reply: Reply
    submitter: str


@dataclass(frozen=True, slots=True)
class Introduced:
    """Somebody trusted says that it speaks for this client. Answer: `Session.introduced`."""

    client: str


Conversation = Say | Close | Pause | Limited | Introduced | Admit | Decide | Login | StartTls
Message = Take | Open | Pour | Seal | Spill | Refused | Rejected
Effect = Conversation | Message
