"""Policies: all that is set for the server as a whole, and the facts that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from kernel.model.address import Address, BadAddressError, parse_domain
from kernel.model.questions import AdmissionAnswer, RelayQuestion, Whereabouts
from kernel.srs import unseal
from services.auth.core.directory import (
    Domains,
    Entries,
    Key,
    Undelivered,
    User,
    domain_for,
    keys_for,
    keys_for_target,
    owns,
    resolve,
)
from services.auth.core.grants import Grant, Granting
from services.auth.core.lan import Client, Networks, parse_client
from services.auth.core.listener import ANY, LAN, ListenerSettings
from services.auth.core.lists import AddressList
from services.auth.core.patterns import matches_any
from services.auth.core.relay import NOBODY, Facts, Standing

Grants = Mapping[str, tuple[Grant, ...] | None]
"""The grants of a client, by what `Granting.key` says of it."""


@dataclass(frozen=True, slots=True)
class _People:
    """The users whom a question is about, and how they stand to its sender."""

    users: Mapping[str, User | None]
    sender: Address | None
    domains: Domains
    entries: Entries

    def standing(self, login: str) -> Standing:
        """Return how a user stands; one who is gone or disabled is nobody."""
        user = self.users.get(login)
        if user is None or user.disabled:
            return NOBODY
        return Standing(
            user.login, user.may_relay, owns(user, self.sender, self.domains, self.entries)
        )

    def best(self, logins: Iterable[str], *, own_addresses_only: bool) -> Standing:
        """Return the user who may send as this sender, else any who is somebody.

        Several people may collect their mail from behind one address. Where all of them may
        send as anybody, whose sender it is matters less than who may relay.
        """
        known = filter(None, map(self.standing, logins))
        if own_addresses_only:
            return max(known, key=lambda s: (s.owns_sender, s.may_relay), default=NOBODY)
        return max(known, key=lambda s: (s.may_relay, s.owns_sender), default=NOBODY)


@dataclass(frozen=True, slots=True)
class Policies:
    """A snapshot of the server-wide settings. ``hostname`` is our name in SMTP.

    ``domains`` holds all names that mean us, also those that nobody has set up as a domain.
    ``return_key`` seals the senders of what we forward.
    """

    hostname: str
    domains: Domains
    lan: Networks
    listeners: Mapping[str, ListenerSettings]
    black: AddressList = field(default_factory=AddressList)
    white: AddressList = field(default_factory=AddressList)
    granting: Granting = field(default_factory=Granting)
    return_key: bytes = field(default=b"", repr=False)

    def keys(self, question: RelayQuestion) -> tuple[Key, ...]:
        """Return the keys of the directory to look up before `facts`."""
        keys = keys_for(question.recipient, self.domains)
        if question.sender is not None:
            keys += keys_for_target(question.sender, self.domains)
        return keys

    @property
    def counts_grants(self) -> bool:
        """Whether a grant counts anywhere."""
        return any(listener.collection_grants for listener in self.listeners.values())

    def grant_keys(self, questions: Iterable[RelayQuestion]) -> frozenset[str]:
        """Return whose grants to look up before `logins`."""
        return frozenset(filter(None, map(self._grant_key, questions)))

    def _grant_key(self, question: RelayQuestion) -> str:
        listener = self.listeners.get(question.listener)
        if question.login or listener is None or not listener.collection_grants:
            return ""
        client = parse_client(question.client)
        if client is None or self.granting.judge_client(client, self.lan):
            return ""
        return self.granting.key(client)

    def logins(self, question: RelayQuestion, grants: Grants, now: datetime) -> tuple[str, ...]:
        """Return the users to look up before `facts`: who has logged in, or holds a fresh grant."""
        if question.login:
            return (question.login,)
        held = grants.get(self._grant_key(question)) if grants else None
        return tuple(grant.login for grant in held or () if grant.until > now)

    def whereabouts(self, address: Address, entries: Entries, now: datetime) -> Whereabouts:
        """Return where mail for ``address`` goes."""
        return resolve(address, self.domains, entries, unseal(address, self.return_key, now))

    def admission(self, listener: str, address: str) -> AdmissionAnswer:
        """Return whether the client may connect to a listener, which must exist."""
        client = parse_client(address)
        in_lan = client in self.lan
        access = self.listeners[listener].access
        return AdmissionAnswer(_admits(access, client, in_lan=in_lan), in_lan)

    def facts(
        self,
        question: RelayQuestion,
        entries: Entries,
        users: Mapping[str, User | None],
        grants: Grants,
        now: datetime,
    ) -> Facts:
        """Return what the rules want to know. The listener must exist."""
        listener = self.listeners[question.listener]
        client = parse_client(question.client)
        in_lan = client in self.lan
        sender, recipient = question.sender, question.recipient
        domain = domain_for(recipient.domain, self.domains)
        people = _People(users, sender, self.domains, entries)
        logins = self.logins(question, grants, now)
        own = listener.own_addresses_only
        best = people.best(logins, own_addresses_only=own) if logins else NOBODY
        return Facts(
            listener=listener,
            place=self.whereabouts(recipient, entries, now).place,
            undelivered=domain.undelivered if domain else Undelivered.REFUSE,
            admitted=_admits(listener.access, client, in_lan=in_lan),
            blacklisted=self.black.names(client, question),
            whitelisted=self.white.names(client, question),
            in_lan=in_lan,
            certified=listener.trusts(question.certificate),
            sender_is_local=sender is not None and self._is_local(sender, now),
            helo_is_spoofed=self._is_our_name(question.helo) and not _is_this_machine(client),
            always_relay_sender=matches_any(listener.always_relay_senders, sender),
            always_relay_recipient=matches_any(listener.always_relay_recipients, recipient),
            user=best if question.login else NOBODY,
            grant=NOBODY if question.login else best,
        )

    def _is_local(self, sender: Address, now: datetime) -> bool:
        """Return whether a sender is one of us; not if we have sealed somebody else's (SRS)."""
        ours = domain_for(sender.domain, self.domains) is not None
        return ours and unseal(sender, self.return_key, now) is None

    def _is_our_name(self, helo: str) -> bool:
        try:
            name = parse_domain(helo.removesuffix("."))  # the root's dot disguises nobody
        except BadAddressError:
            return False
        return name == self.hostname.lower() or name in self.domains


def _admits(access: tuple[str, ...], client: Client | None, *, in_lan: bool) -> bool:
    """Whether the list of who may connect admits the client; an empty one admits nobody."""
    if access == (ANY,):
        return True
    networks = _networks(access)
    if any(client in excluded for excluded in networks.excluded if client):
        return False
    return ANY in access or (LAN in access and in_lan) or client in networks


@lru_cache(maxsize=64)
def _networks(access: tuple[str, ...]) -> Networks:
    return Networks.of(word for word in access if word not in (ANY, LAN))


def _is_this_machine(client: Client | None) -> bool:
    """Whether it is no lie when the client says our name."""
    return client is not None and client.is_loopback
