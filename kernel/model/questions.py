"""What services ask auth over HTTP, and what it answers.

Asked with the service credential; encoded as JSON by `kernel.wire`. Every
question may be asked in a batch, which costs hardly more than one (`Sending` stands in
`kernel.model.sending`):

====================================  ==========================  ========================
``POST /internal/relay``              list of `RelayQuestion`     list of `RelayAnswer`
``POST /internal/login``              one `LoginQuestion`         one `LoginAnswer`
``POST /internal/admission``          one `AdmissionQuestion`     one `AdmissionAnswer`
``POST /internal/whereabouts``        list of `Address`           list of `Whereabouts`
``POST /internal/greylist``           one `GreylistQuestion`      one `GreylistAnswer`
``GET  /internal/listeners/{name}``                               one `Listener`
``GET  /internal/sending``                                        one `Sending`
====================================  ==========================  ========================
"""

from dataclasses import dataclass, field
from enum import StrEnum

from kernel.model.address import Address
from kernel.model.rate import Rate
from kernel.model.reply import Reply


@dataclass(frozen=True, slots=True)
class RelayQuestion:
    """May this client send this mail on? The facts that ingress has of one RCPT TO.

    ``client`` is the client's IP address; ``login`` its login name once it has
    authenticated, else empty; ``sender`` is ``None`` for the null reverse-path. A ``trial``
    is decided like any other question, but neither counted nor logged: no mail hangs on it.
    ``certificate`` is the fingerprint (``sha256:…``) of the one that the client has proved to
    have, and that somebody whom we believe vouches for.
    """

    listener: str
    client: str
    helo: str
    sender: Address | None
    recipient: Address
    login: str = ""
    trial: bool = False
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """The decision. ``rule`` is the name of the rule that spoke: for logs, never for the peer.

    ``submitter`` is the login name under which the mail counts: the client's
    own, or that of the grant that it used. Of a ``stranger`` nothing tells who it is: it is
    not on the LAN, has not logged in, has no grant, and shows no certificate that we trust.
    """

    reply: Reply
    rule: str
    submitter: str = ""
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class LoginQuestion:
    """Is the client who it says it is? ``login`` and ``password`` as the client gave them.

    ``service`` is ``smtp``, ``pop3``, ``imap`` or ``api``; ``listener`` names the place within
    it. Where no password crosses the wire, ``challenge`` is what we made unpredictable (the
    challenge of CRAM-MD5, our nonce in SCRAM), and ``responses`` is what the client has sent
    since, all of it. ``channel_binding`` is our end of TLS (RFC 5929 §4), empty without TLS.
    """

    service: str
    listener: str
    client: str
    mechanism: str
    login: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    challenge: bytes = b""
    responses: tuple[bytes, ...] = field(default=(), repr=False)
    channel_binding: bytes = b""


class LoginVerdict(StrEnum):
    """What auth thinks of a login."""

    GRANTED = "granted"
    REFUSED = "refused"
    LOCKED = "locked"  # too many failures: not now, whatever the password
    CONTINUE = "continue"  # send `message` to the client, and ask again with its response


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """``login`` is the canonical login name when granted, else empty.

    ``mailbox`` is then the name of the user's mailbox. ``message`` is what the mechanism
    wants to be sent to the client, granted or to be continued.
    """

    verdict: LoginVerdict
    login: str = ""
    administrator: bool = False
    mailbox: Address | None = None
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class AdmissionQuestion:
    """May this client connect to this listener at all."""

    listener: str
    client: str


@dataclass(frozen=True, slots=True)
class AdmissionAnswer:
    """``in_lan`` says whether the client is on the LAN."""

    admitted: bool
    in_lan: bool = False


@dataclass(frozen=True, slots=True)
class GreylistQuestion:
    """Have these written to one another before? A message of a stranger, whole.

    ``delay`` is in seconds: who comes back sooner is still too early. A ``trial`` leaves no trace.
    """

    client: str
    sender: Address | None
    recipients: tuple[Address, ...]
    delay: int
    trial: bool = False


class Acquaintance(StrEnum):
    """Whether a message's client, sender and recipients have been heard of, strangest first."""

    NEW = "new"
    EARLY = "early"  # back before the delay was over
    BACK = "back"  # has tried again, and passes from now on
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class GreylistAnswer:
    """The strangest of what is so of each recipient."""

    acquaintance: Acquaintance


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


class PlaintextAuth(StrEnum):
    """To whom passwords in the clear are offered."""

    NEVER = "never"
    LAN = "lan"
    ALWAYS = "always"


class BareLineEnds(StrEnum):
    """What becomes of a CR or LF that stands alone in a message (RFC 5321 §2.3.8)."""

    REFUSE = "refuse"
    NORMALISE = "normalise"  # each becomes a CRLF


@dataclass(frozen=True, slots=True)
class Listener:
    """What ingress must know of a listener's settings; the rest is auth's business.

    Sizes are in octets. ``mechanisms`` are names such as ``PLAIN``.
    ``plaintext_auth`` says to whom PLAIN and LOGIN are offered without TLS. ``restricted``
    says that an `AdmissionQuestion` decides on every client. Rates per IP are those of
    strangers; strangers also wait ``greet_pause`` seconds for the greeting.
    ``client_certificates`` says that clients are asked for one.
    """

    name: str
    tls: TlsMode
    mechanisms: tuple[str, ...]
    plaintext_auth: PlaintextAuth
    max_message_size: int
    max_recipients: int
    max_connections: int
    max_connections_per_ip: int
    restricted: bool = False
    bare_line_ends: BareLineEnds = BareLineEnds.REFUSE
    message_rate_per_ip: tuple[Rate, ...] = ()
    recipient_rate_per_ip: tuple[Rate, ...] = ()
    message_rate_per_user: tuple[Rate, ...] = ()
    recipient_rate_per_user: tuple[Rate, ...] = ()
    greet_pause: int = 0
    client_certificates: bool = False
