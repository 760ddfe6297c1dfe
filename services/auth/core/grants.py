"""Grants: whoever has just collected mail from an address may send from it (POP/IMAP-before-SMTP).

A grant trusts an address, so it is worth what the address says: one that many
share, such as a proxy's, gets none.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network

from services.auth.core.directory import User
from services.auth.core.lan import Client, Networks, parse_client

COLLECTING = frozenset({"pop3", "imap"})
"""The services whose logins open grants."""

WHOLE_ADDRESS = 128  # bits of IPv6
_RENEW_AFTER = 1 / 50  # of a grant's time


class Refusal(StrEnum):
    """Why a login opens no grant."""

    NO_USER = "there is no such user"
    DISABLED = "the user is disabled"
    GONE = "the user has been removed or disabled just now"
    NO_ADDRESS = "the client has no IP address"
    LOOPBACK = "many may share a loopback address, and no network of the LAN names it"
    NEVER = "strangers may share that address: POSTROOM_AUTH_GRANT_NEVER names it"


@dataclass(frozen=True, slots=True)
class Grant:
    """``login`` collected mail from an address: until then it may send from there."""

    login: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Granting:
    """How grants are given: for how long, to what part of IPv6, and to whom never."""

    time: timedelta = timedelta(seconds=300)
    prefix: int = WHOLE_ADDRESS
    never: Networks = field(default_factory=Networks)

    def judge(self, user: User | None, client: Client | None, lan: Networks) -> Refusal | None:
        """Return why a login of ``user`` from there opens no grant; ``None`` if it does.

        One without the privilege to relay gets a grant too. It makes its user known, and
        relays nothing: the decision looks at the user, whose privileges may change.
        """
        if user is None:
            return Refusal.NO_USER
        if user.disabled:
            return Refusal.DISABLED
        return self.judge_client(client, lan)

    def judge_client(self, client: Client | None, lan: Networks) -> Refusal | None:
        """Return why grants never count for a client there; ``None`` if they do."""
        if client is None:
            return Refusal.NO_ADDRESS
        if client in self.never:
            return Refusal.NEVER
        if client.is_loopback and not lan.names_loopback(client):
            return Refusal.LOOPBACK
        return None

    def key(self, client: Client) -> str:
        """Return what a grant is given to: the address, or its network if IPv6 has a prefix."""
        if client.version == 4 or self.prefix == WHOLE_ADDRESS:  # noqa: PLR2004 - IPv4's name
            return str(client)
        return str(ip_network((client, self.prefix), strict=False))

    def key_of(self, text: str) -> str:
        """Return the key for the client that ``text`` spells; text that is no address is itself."""
        client = parse_client(text)
        return text if client is None else self.key(client)

    def is_recent(self, grant: Grant, now: datetime) -> bool:
        """Whether ``grant`` was given so lately that renewing it is not worth a write."""
        return now + self.time - grant.until < self.time * _RENEW_AFTER
