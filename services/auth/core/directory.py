"""The directory: how an address of ours resolves, from facts that were looked up before.

All local domains are equivalent, unless a domain has its own users: what is known
in one is known in all. A *realm* is a set of equivalent domains; a name stands once
in a realm. Names are compared without regard to case (RFC 5321 §2.4 allows it).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from kernel.model.address import Address
from kernel.model.questions import Place, Whereabouts
from kernel.srs import is_sealed
from services.auth.core.lan import is_this_machine, parse_literal
from services.auth.core.patterns import matches_any
from services.auth.core.secrets import Secrets

Key = tuple[str, str]
"""(realm, name): under which an entry of the directory stands."""

SHARED = ""
"""The realm of all domains without users of their own."""

POSTMASTER = "postmaster"
DETAIL = "+"


class Undelivered(StrEnum):
    """What becomes of mail for an address that a domain does not have."""

    REFUSE = "refuse"  # 550 at RCPT
    REPORT = "report"  # taken, then reported back as undeliverable
    MAILBOX = "mailbox"  # put in a mailbox for such mail (catch-all)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of ours."""

    name: str
    primary: bool = False
    own_users: bool = False
    undelivered: Undelivered = Undelivered.REFUSE
    undelivered_mailbox: Address | None = None

    @property
    def realm(self) -> str:
        """The set of equivalent domains that it belongs to."""
        return self.name if self.own_users else SHARED


@dataclass(frozen=True, slots=True)
class Entry:
    """What an address of ours leads to: the mailbox of its user, or the targets of an alias."""

    login: str = ""
    mailbox: Address | None = None
    targets: tuple[Address, ...] = ()


class Purpose(StrEnum):
    """What an app password is good for."""

    SEND = "send"  # SMTP
    COLLECT = "collect"  # POP3 and IMAP


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password that we made for one program of a user: what is kept of it."""

    name: str
    purposes: frozenset[Purpose]
    digest: str = field(repr=False)
    created_at: datetime
    sealed: str = field(default="", repr=False)
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A user, as decisions see one.

    ``password`` is the hash, ``salt`` and ``sealed`` are as in `Secrets`; ``quota`` counts octets.
    """

    login: str
    address: Address
    password: str = field(default="", repr=False)
    may_relay: bool = True
    administrator: bool = False
    disabled: bool = False
    send_as: tuple[str, ...] = ()
    quota: int | None = None
    salt: str = ""
    sealed: str = field(default="", repr=False)
    app_passwords: tuple[AppPassword, ...] = ()

    def with_secrets(self, secrets: Secrets) -> "User":
        """Return the user with another password."""
        return replace(self, password=secrets.hash, salt=secrets.salt, sealed=secrets.sealed)


Domains = Mapping[str, Domain]
Entries = Mapping[Key, Entry | None]


THIS_MACHINE = Domain("[127.0.0.1]")
"""The domain of every address literal that leads back here."""


def domain_for(name: str, domains: Domains) -> Domain | None:
    """Return the domain of ours that a name or an address literal means; ``None`` for others."""
    domain = domains.get(name)
    if domain is None and is_this_machine(parse_literal(name)):
        return THIS_MACHINE
    return domain


def key_of(address: Address, domains: Domains) -> Key | None:
    """Return where ``address`` itself stands in the directory; ``None`` if it is not ours."""
    domain = domain_for(address.domain, domains)
    return None if domain is None else (domain.realm, address.local.casefold())


def keys_for(address: Address, domains: Domains) -> tuple[Key, ...]:
    """Return every key that has a say in where ``address`` leads: what to look up."""
    domain = domain_for(address.domain, domains)
    if domain is None:
        return ()
    keys = _own_keys(address, domain)
    if domain.undelivered_mailbox is not None:
        keys += keys_for_target(domain.undelivered_mailbox, domains)
    return keys


def keys_for_target(address: Address, domains: Domains) -> tuple[Key, ...]:
    """Return the keys of ``address`` alone, without its domain's rule for the unknown."""
    domain = domain_for(address.domain, domains)
    return () if domain is None else _own_keys(address, domain)


def caught_by(address: Address, domains: Domains) -> tuple[str, ...]:
    """Return the domains whose mail for names that do not exist goes to ``address``."""
    key = key_of(address, domains)
    places = ((d.name, d.undelivered_mailbox) for d in domains.values())
    return tuple(name for name, place in places if place and key_of(place, domains) == key)


def find(address: Address, domains: Domains, entries: Entries) -> Entry | None:
    """Return what ``address`` leads to, itself or without its ``+detail``."""
    for key in keys_for_target(address, domains):
        entry = entries.get(key)
        if entry is not None:
            return entry
    return None


def resolve(
    address: Address, domains: Domains, entries: Entries, sealed: Address | None = None
) -> Whereabouts:
    """Return where mail for ``address`` goes.

    ``sealed`` is the sender whom we have sealed in it, as we do in what we forward (SRS). One
    that only looks so is nobody's, and nothing for a catch-all: it is forged, or too old.
    """
    domain = domain_for(address.domain, domains)
    if domain is None:
        return Whereabouts(address, Place.REMOTE, whole_domain=True)
    entry = find(address, domains, entries)
    if entry is None and is_sealed(address):
        entry = Entry(targets=(sealed,)) if sealed else None
    elif entry is None and domain.undelivered is Undelivered.MAILBOX and domain.undelivered_mailbox:
        entry = find(domain.undelivered_mailbox, domains, entries)
    if entry is None:
        return Whereabouts(address, Place.UNKNOWN)
    if entry.mailbox is not None:
        return Whereabouts(address, Place.MAILBOX, (entry.mailbox,))
    return Whereabouts(address, Place.ALIAS, entry.targets)


def owns(user: User, sender: Address | None, domains: Domains, entries: Entries) -> bool:
    """Whether ``user`` may send as ``sender``. Everybody may send reports (the null sender).

    A user's own are the addresses of the mailbox, the aliases that stand for it
    alone, and whatever ``send_as`` adds; with the pattern ``*`` in it, every sender is.
    A catch-all makes nobody an owner.
    """
    if sender is None or matches_any(user.send_as, sender):
        return True
    entry = find(sender, domains, entries)
    if entry is None:
        return False
    if entry.mailbox is not None:
        return entry.login == user.login
    return _stands_for(entry.targets, user.address, domains)


def _stands_for(targets: Iterable[Address], mailbox: Address, domains: Domains) -> bool:
    keys = {key_of(target, domains) for target in targets}
    return keys == {key_of(mailbox, domains)} != {None}


def _own_keys(address: Address, domain: Domain) -> tuple[Key, ...]:
    name = address.local.casefold()
    base, plus, _ = name.partition(DETAIL)
    keys: tuple[Key, ...] = ((domain.realm, name),)
    if plus and base:
        keys += ((domain.realm, base),)
    if base == POSTMASTER and domain.realm != SHARED:
        keys += ((SHARED, POSTMASTER),)  # RFC 5321 §4.5.1: every domain has one
    return keys
