"""``/v1/listeners``: what each SMTP service allows."""

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field

from kernel.model.questions import PlaintextAuth, TlsMode
from services.auth.adapters import policies
from services.auth.core.lan import parse_network
from services.auth.core.listener import ANY, LAN, MECHANISMS, ListenerSettings, RequireAuth
from services.auth.core.patterns import is_everybody
from services.auth.edge.credentials import Administrator, AtDesk
from services.auth.edge.fields import Body, Item, Page, Pattern, Wanted
from services.auth.edge.problems import invalid, not_found

router = APIRouter(prefix="/v1/listeners", tags=["listeners"])
Name = Annotated[str, Path(description="Such as `mx`, `submission` or `submissions`.")]

_MEBIBYTE = 1024 * 1024


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
    if is_everybody(pattern):
        raise ValueError(f"{pattern!r} is everybody: this would be an open relay")
    return pattern


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
    own_addresses_only: bool = Field(
        default=True,
        description="Who has logged in may only use own addresses (and `send_as`) as sender.",
    )
    collection_grants: bool = Field(
        default=False,
        description="Whether POP/IMAP-before-SMTP counts here. Nothing in Postroom gives such "
        "grants yet.",
    )
    relay_outside_lan: bool = Field(
        default=False, description="An open relay: strangers may send to strangers."
    )
    relay_nonlocal_senders: bool = Field(
        default=True, description="Off: a relayed message must come from a local-domain sender."
    )
    always_relay_senders: tuple[ForSome, ...] = Field(
        default=(), description="Relay for these senders. Anybody can pretend to be one."
    )
    always_relay_recipients: tuple[ForSome, ...] = Field(
        default=(), description="Relay to these recipients: domains that we are a backup MX for."
    )
    reject_local_sender_spoof: bool = Field(
        default=True, description="Refuse strangers who use a sender in a domain of ours."
    )
    reject_local_helo_spoof: bool = Field(
        default=True, description="Refuse strangers who use one of our names in HELO."
    )
    max_message_size: int = Field(default=50 * _MEBIBYTE, ge=65_536, description="In octets.")
    max_recipients: int = Field(
        default=100, ge=100, description="RFC 5321 §4.5.3.1.8: 100 at least."
    )
    max_connections: int = Field(default=1000, ge=1)
    max_connections_per_ip: int = Field(default=100, ge=1)


class ListenerChanges(ListenerFields):
    """Changes to a listener."""

    i_understand_this_is_an_open_relay: bool = Field(
        default=False, description="Must be true to turn `relay_outside_lan` on."
    )


class ListenerItem(ListenerFields, Item):
    """A listener."""

    name: str


@router.get("")
async def list_listeners(_: Administrator, desk: AtDesk, wanted: Wanted) -> Page[ListenerItem]:
    """List the listeners by name."""
    async with desk.database.reading() as db:
        found = await policies.listeners(db, wanted.limit + 1, wanted.after)
    return wanted.page([_item(*listener) for listener in found], lambda item: item.name)


@router.get("/{name}")
async def show_listener(_: Administrator, desk: AtDesk, name: Name) -> ListenerItem:
    """Show one listener."""
    async with desk.database.reading() as db:
        settings = await policies.listener(db, name)
    if settings is None:
        raise not_found("listener", name)
    return _item(name, settings)


@router.patch("/{name}")
async def change_listener(
    who: Administrator, desk: AtDesk, name: Name, changes: ListenerChanges
) -> ListenerItem:
    """Change some settings of a listener."""
    given = _given(changes)
    async with desk.database.writing() as db:
        before = await policies.listener(db, name)
        if before is None:
            raise not_found("listener", name)
        settings = replace(before, **given)
        await policies.change_listener(db, name, settings)
    await desk.changed(who, "changed", "listeners", name, **given)
    return _item(name, settings)


def _given(changes: ListenerChanges) -> dict[str, Any]:
    if changes.relay_outside_lan and not changes.i_understand_this_is_an_open_relay:
        raise invalid(
            "relay_outside_lan",
            "this makes an open relay, which spammers find within hours; if that is what you "
            "want, send i_understand_this_is_an_open_relay with it",
        )
    named = changes.model_fields_set - {"i_understand_this_is_an_open_relay"}
    return {field: getattr(changes, field) for field in named}


def _item(name: str, settings: ListenerSettings) -> ListenerItem:
    return ListenerItem.model_construct(name=name, **asdict(settings))
