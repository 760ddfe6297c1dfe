"""`postroom listener`: where mail comes in, and what is allowed there."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from cyclopts import App, Parameter

from postroom.client import Item, given
from postroom.resource import Resource
from postroom.show import AsJson
from postroom.values import octets

app = App(name="listener")

LISTENERS = Resource(
    ("v1/listeners",),
    {
        "name": "LISTENER",
        "tls": "TLS",
        "access": "FOR",
        "mechanisms": "LOGIN BY",
        "require_auth": "LOGIN NEEDED",
        "collection_grants": "GRANTS COUNT",
        "relay_outside_lan": "OPEN RELAY",
    },
    spoken=lambda listener: {"name": "", **listener},
    alarms=("relay_outside_lan",),
)

Mechanism = Literal["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set about a listener. A list is given by its option, once for each word."""

    tls: Literal["none", "starttls", "starttls-required", "implicit"] | None = None
    """Whether it speaks TLS: not, if asked, before anything else is said, or from the start."""

    access: list[str] | None = None
    """Who may connect: `any`, `lan`, networks, and `!network` to exclude one."""

    mechanisms: list[Mechanism] | None = None
    """The ways to log in that are offered."""

    plaintext_auth: Literal["never", "lan", "always"] | None = None
    """To whom PLAIN and LOGIN are offered without TLS."""

    require_auth: Literal["never", "to-relay", "always"] | None = None
    """Who has to log in: nobody, who relays (even from the LAN), or everybody."""

    own_addresses_only: bool | None = None
    """Whether who has logged in may only use own addresses as sender."""

    collection_grants: bool | None = None
    """Whether having collected mail a moment ago counts (POP/IMAP-before-SMTP)."""

    relay_outside_lan: bool | None = None
    """An OPEN RELAY: strangers may send to strangers."""

    relay_nonlocal_senders: bool | None = None
    """Whether relayed mail may have a sender outside our domains."""

    always_relay_senders: list[str] | None = None
    """Relay for these senders, whoever they are. Anybody can pretend to be one."""

    always_relay_recipients: list[str] | None = None
    """Relay to these recipients, such as domains that we are a backup MX for."""

    reject_local_sender_spoof: bool | None = None
    """Whether to refuse strangers who use a sender in a domain of ours."""

    reject_local_helo_spoof: bool | None = None
    """Whether to refuse strangers who call themselves by one of our names."""

    max_message_size: str | None = None
    """How large a message may be, such as `50MiB`."""

    max_recipients: int | None = None
    """How many recipients a message may have; 100 at least."""

    max_connections: int | None = None
    """How many clients may be connected at a time."""

    max_connections_per_ip: int | None = None
    """How many of them from one address."""

    bare_line_ends: Literal["refuse", "normalise"] | None = None
    """What becomes of messages with a CR or LF that stands alone."""

    message_rate_per_ip: list[str] | None = None
    """How many messages a stranger's address may send, such as `60/minute`."""

    recipient_rate_per_ip: list[str] | None = None
    """How many recipients such an address may name."""

    message_rate_per_user: list[str] | None = None
    """How many messages a user may send."""

    recipient_rate_per_user: list[str] | None = None
    """How many recipients a user may name."""

    greet_pause: int | None = None
    """Seconds that strangers wait for the greeting; who talks before it is sent away."""

    client_certificates: bool | None = None
    """Whether clients are asked for a certificate that the setting `client_cas` vouches for."""

    trusted_certificates: list[str] | None = None
    """Fingerprints (SHA-256) of certificates whose holders may relay like the LAN."""

    i_understand_this_is_an_open_relay: Annotated[bool | None, Parameter(negative="")] = None
    """Must go with `--relay-outside-lan`."""

    def changes(self) -> Item:
        """Return what the API is to change."""
        size = self.max_message_size
        return given(**asdict(self)) | ({"max_message_size": octets(size)} if size else {})


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List the listeners; an open relay in red."""
    await LISTENERS.every(as_json=as_json)


@app.command
async def show(name: str, *, as_json: AsJson = False) -> None:
    """Show every setting of a listener."""
    await LISTENERS.show(name, as_json=as_json)


@app.command
async def change(name: str, *, settings: Settings | None = None, as_json: AsJson = False) -> None:
    """Change settings of a listener.

    Parameters
    ----------
    name
        The listener: mx, submission or submissions.
    settings
        What is to be.

    """
    changes = settings.changes() if settings else {}
    await LISTENERS.change(name, changes=changes, as_json=as_json)
