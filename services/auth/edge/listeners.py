"""``/v1/listeners``: what each SMTP service allows."""

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.questions import BareLineEnds, PlaintextAuth, TlsMode
from kernel.sasl import MECHANISMS
from services.auth.adapters import policies
from services.auth.core.fingerprints import parse_fingerprint
from services.auth.core.lan import parse_network
from services.auth.core.listener import ANY, LAN, ListenerSettings, RequireAuth
from services.auth.core.patterns import is_too_wide
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.etags import Held, Seen
from services.auth.edge.fields import (
    Body,
    Containing,
    Flag,
    Item,
    Number,
    Page,
    Pattern,
    Rates,
    Wanted,
)
from services.auth.edge.problems import invalid, not_found

KIND = "listeners"

router = APIRouter(prefix="/v1/listeners", tags=[KIND])
Allowed = Annotated[Caller, may(KIND)]
Name = Annotated[str, Path(description="Such as `mx`, `submission` or `submissions`.")]

_MEBIBYTE = 1024 * 1024
_LARGEST = 1024 * _MEBIBYTE
_MOST = 1_000_000


def _access(text: str) -> str:
    word = text.strip().lower()
    if word in (ANY, LAN):
        return word
    excluded = "!" if word.startswith("!") else ""
    return f"{excluded}{parse_network(word.removeprefix('!'))}"


def _mechanism(text: str) -> str:
    if text.upper() not in MECHANISMS:
        raise ValueError(f"{text!r} is none of {', '.join(MECHANISMS)}")
    return text.upper()


def _somebody(pattern: str) -> str:
    if is_too_wide(pattern):
        raise ValueError(
            f"strangers are in {pattern!r}: this would be an open relay. Name domains, "
            "such as example.org or *.example.org"
        )
    return pattern


Fingerprint = Annotated[str, AfterValidator(parse_fingerprint)]
ForSome = Annotated[Pattern, AfterValidator(_somebody)]


class ListenerFields(Body):
    """All that can be set about a listener. A change may name any of these."""

    tls: TlsMode = TlsMode.STARTTLS
    access: tuple[Annotated[str, AfterValidator(_access)], ...] = Field(
        default=(ANY,),
        description="Who may connect: `any`, `lan`, networks, and `!network` to exclude one. "
        "An empty list admits nobody.",
    )
    mechanisms: tuple[Annotated[str, AfterValidator(_mechanism)], ...] = Field(
        default=(), description="The AUTH mechanisms that are offered."
    )
    plaintext_auth: PlaintextAuth = Field(
        default=PlaintextAuth.NEVER,
        description="To whom PLAIN and LOGIN are offered without TLS: nobody, the LAN, or "
        "everybody. Passwords then cross the wire as they are.",
    )
    require_auth: RequireAuth = Field(
        default=RequireAuth.NEVER,
        description="Who has to log in: nobody, who relays (even from the LAN), or everybody.",
    )
    own_addresses_only: Flag = Field(
        default=True,
        description="Who has logged in may only use own addresses (and `send_as`) as sender.",
    )
    collection_grants: Flag = Field(
        default=False,
        description="Whether POP/IMAP-before-SMTP counts here: a user's POP3 or IMAP login lets "
        "its address relay for some minutes.",
    )
    relay_outside_lan: Flag = Field(
        default=False, description="An open relay: strangers may send to strangers."
    )
    relay_nonlocal_senders: Flag = Field(
        default=True, description="Off: a relayed message must come from a local-domain sender."
    )
    always_relay_senders: tuple[ForSome, ...] = Field(
        default=(), description="Relay for these senders. Anybody can pretend to be one."
    )
    always_relay_recipients: tuple[ForSome, ...] = Field(
        default=(), description="Relay to these recipients: domains that we are a backup MX for."
    )
    reject_local_sender_spoof: Flag = Field(
        default=True, description="Refuse strangers who use a sender in a domain of ours."
    )
    reject_local_helo_spoof: Flag = Field(
        default=True, description="Refuse strangers who use one of our names in HELO."
    )
    max_message_size: Number = Field(
        default=50 * _MEBIBYTE, ge=65_536, le=_LARGEST, description="In octets."
    )
    max_recipients: Number = Field(
        default=100, ge=100, le=_MOST, description="RFC 5321 §4.5.3.1.8: 100 at least."
    )
    max_connections: Number = Field(default=1000, ge=1, le=_MOST)
    max_connections_per_ip: Number = Field(default=100, ge=1, le=_MOST)
    bare_line_ends: BareLineEnds = Field(
        default=BareLineEnds.REFUSE,
        description="What becomes of a message with a CR or LF that stands alone: it is refused, "
        "or each of them is made a line end. Never does one go on as it came.",
    )
    message_rate_per_ip: Rates = Field(
        default=("100000/hour",),
        description="How many messages a stranger's address (of IPv6: its /64) may send: rates "
        "such as `60/minute`, `1000/hour`. Neither the LAN nor who has logged in is counted.",
    )
    recipient_rate_per_ip: Rates = Field(
        default=("500000/hour",), description="The same for recipients."
    )
    message_rate_per_user: Rates = Field(
        default=("10000/hour",),
        description="How many messages a user may send who has logged in, or relays by a grant.",
    )
    recipient_rate_per_user: Rates = Field(
        default=("20000/hour",), description="The same for recipients."
    )
    greet_pause: Number = Field(
        default=0,
        ge=0,
        le=60,
        description="Seconds that strangers have to wait for the greeting; who talks before it is "
        "sent away. 0 turns it off.",
    )

    client_certificates: Flag = Field(
        default=False,
        description="Whether clients are asked for a certificate. Whoever shows one that "
        "`POSTROOM_INGRESS_CLIENT_CAS` does not vouch for is refused in the handshake, so do not "
        "ask other servers.",
    )
    trusted_certificates: tuple[Fingerprint, ...] = Field(
        default=(),
        max_length=10_000,
        description="Fingerprints (SHA-256) of clients' certificates that stand for the LAN: who "
        "has one may relay. They count where `client_certificates` is on.",
    )


class ListenerChanges(ListenerFields):
    """Changes to a listener."""

    i_understand_this_is_an_open_relay: Flag = Field(
        default=False, description="Must be true to turn `relay_outside_lan` on."
    )


class ListenerItem(ListenerFields, Item):
    """A listener."""

    name: str


@router.get("")
async def list_listeners(
    _: Allowed, desk: AtDesk, wanted: Wanted, q: Containing = ""
) -> Page[ListenerItem]:
    """List the listeners."""
    async with desk.database.reading() as db:
        found = await policies.listeners(db, wanted.limit + 1, wanted.after, q)
    return wanted.page([_item(*listener) for listener in found], lambda item: item.name)


@router.get("/{name}")
async def show_listener(_: Allowed, desk: AtDesk, tags: Seen, name: Name) -> ListenerItem:
    """Show one listener."""
    async with desk.database.reading() as db:
        return tags.show(_item(name, await _known(db, name)))


@router.patch("/{name}")
async def change_listener(
    who: Allowed, desk: AtDesk, tags: Held, name: Name, changes: ListenerChanges
) -> ListenerItem:
    """Change some settings of a listener."""
    given = _given(changes)
    async with desk.changing(who) as change:
        settings = await _known(change.db, name)
        before = _item(name, settings)
        tags.expect(before)
        settings = replace(settings, **given)
        await policies.change_listener(change.db, name, settings)
        item = _item(name, settings)
        change.note("changed", KIND, name, before=before.shown(), after=item.shown())
    return tags.show(item)


async def _known(db: AsyncConnection, name: str) -> ListenerSettings:
    settings = await policies.listener(db, name)
    if settings is None:
        raise not_found("listener", name)
    return settings


def _given(changes: ListenerChanges) -> dict[str, Any]:
    if changes.relay_outside_lan and not changes.i_understand_this_is_an_open_relay:
        raise invalid(
            "relay_outside_lan",
            "this makes an open relay, which spammers find within hours; if that is what you "
            "want, send i_understand_this_is_an_open_relay with it",
        )
    given = changes.given()
    given.pop("i_understand_this_is_an_open_relay", None)
    return given


def _item(name: str, settings: ListenerSettings) -> ListenerItem:
    return ListenerItem.model_construct(name=name, **asdict(settings))
