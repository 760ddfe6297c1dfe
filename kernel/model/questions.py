"""What services ask auth over HTTP, and what it answers.

Asked with the service credential; encoded as JSON by `kernel.wire`. Every
question may be asked in a batch, which costs hardly more than one:

====================================  ==========================  ========================
``POST /internal/relay``              list of `RelayQuestion`     list of `RelayAnswer`
``POST /internal/login``              one `LoginQuestion`         one `LoginAnswer`
``POST /internal/whereabouts``        list of `Address`           list of `Whereabouts`
``GET  /internal/listeners/{name}``                               one `Listener`
====================================  ==========================  ========================
"""

from dataclasses import dataclass, field
from enum import StrEnum

from kernel.model.address import Address
from kernel.model.reply import Reply


@dataclass(frozen=True, slots=True)
class RelayQuestion:
    """May this client send this mail on? The facts that ingress has of one RCPT TO.

    ``client`` is the client's IP address; ``login`` its login name once it has
    authenticated, else empty; ``sender`` is ``None`` for the null reverse-path.
    """

    listener: str
    client: str
    helo: str
    sender: Address | None
    recipient: Address
    login: str = ""


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """The decision. ``rule`` is the name of the rule that spoke: for logs, never for the peer.

    ``submitter`` is the login name under which the mail counts: the client's
    own, or that of the grant that it used.
    """

    reply: Reply
    rule: str
    submitter: str = ""


@dataclass(frozen=True, slots=True)
class LoginQuestion:
    """Is this the password of that user? ``login`` and ``password`` as the client gave them."""

    service: str
    listener: str
    client: str
    mechanism: str
    login: str
    password: str = field(repr=False)
    tls: bool = False


class LoginVerdict(StrEnum):
    """What auth thinks of a login."""

    GRANTED = "granted"
    REFUSED = "refused"
    LOCKED = "locked"  # too many failures: not now, whatever the password


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """``login`` is the canonical login name when granted, else empty."""

    verdict: LoginVerdict
    login: str = ""
    administrator: bool = False


class Place(StrEnum):
    """Where mail for an address goes."""

    MAILBOX = "mailbox"
    ALIAS = "alias"
    REMOTE = "remote"
    UNKNOWN = "unknown"  # the domain is ours, and it has no such address


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where mail for ``address`` goes.

    ``targets`` holds the mailbox's name (its user's address) for a mailbox, and
    the addresses that an alias stands for. ``whole_domain`` says that the answer
    is the same for every address of that domain, as it is for a remote one.
    """

    address: Address
    place: Place
    targets: tuple[Address, ...] = ()
    whole_domain: bool = False


class TlsMode(StrEnum):
    """How a listener speaks TLS."""

    NONE = "none"
    STARTTLS = "starttls"  # offered (RFC 3207)
    STARTTLS_REQUIRED = "starttls-required"  # before AUTH and MAIL
    IMPLICIT = "implicit"  # from the first octet (RFC 8314)


@dataclass(frozen=True, slots=True)
class Listener:
    """What ingress must know of a listener's settings; the rest is auth's business.

    Sizes are in octets. ``mechanisms`` are names such as ``PLAIN``.
    ``plaintext_auth`` offers PLAIN and LOGIN without TLS.
    """

    name: str
    tls: TlsMode
    mechanisms: tuple[str, ...]
    plaintext_auth: bool
    max_message_size: int
    max_recipients: int
    max_connections: int
    max_connections_per_ip: int
