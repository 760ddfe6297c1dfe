"""May this client send from this sender to this recipient on this listener, and why.

The rules stand in `RULES` in their order; the first that speaks decides. A rule is
a function of the facts that returns a `Decision`, or `None` to be silent.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kernel.model.questions import Place
from kernel.model.reply import Reply
from services.auth.core.directory import Undelivered
from services.auth.core.listener import ListenerSettings, RequireAuth

ACCEPTED = Reply(250, "2.1.5", "Recipient ok")
NOT_ACCEPTED = Reply(550, "5.7.1", "Not accepted")
NO_SUCH_USER = Reply(550, "5.1.1", "No such user here")
NOT_YOUR_ADDRESS = Reply(553, "5.7.1", "Sender address not allowed")
AUTH_REQUIRED = Reply(530, "5.7.0", "Authentication required")
RELAY_DENIED = Reply(550, "5.7.1", "Relaying denied")
TRY_LATER = Reply(451, "4.3.0", "Try again later")


@dataclass(frozen=True, slots=True)
class Standing:
    """A user of ours, and what this one may do with the mail at hand."""

    login: str = ""
    may_relay: bool = False
    owns_sender: bool = False

    def __bool__(self) -> bool:
        return bool(self.login)


NOBODY = Standing()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at.

    ``user`` is who has logged in, ``grant`` whose fresh grant covers the client's
    address (a listener may ignore grants). ``certified``: its certificate is one that we trust.
    """

    listener: ListenerSettings
    place: Place
    undelivered: Undelivered = Undelivered.REFUSE
    admitted: bool = True
    blacklisted: bool = False
    whitelisted: bool = False
    in_lan: bool = False
    certified: bool = False
    sender_is_local: bool = False
    helo_is_spoofed: bool = False
    always_relay_sender: bool = False
    always_relay_recipient: bool = False
    user: Standing = NOBODY
    grant: Standing = NOBODY

    @property
    def granted(self) -> bool:
        """Whether a grant counts here. It covers only mail that its user may send."""
        return self.listener.collection_grants and self.may_send(self.grant)

    @property
    def is_stranger(self) -> bool:
        """Whether nothing tells who the client is."""
        return not (self.in_lan or self.certified or self.user or self.granted)

    def may_send(self, user: Standing) -> bool:
        """Whether ``user`` may use this sender here."""
        return bool(user) and (user.owns_sender or not self.listener.own_addresses_only)


@dataclass(frozen=True, slots=True)
class Decision:
    """The reply to RCPT, the rule that spoke, and the login under which the mail counts."""

    reply: Reply
    rule: str
    submitter: str = ""


Rule = Callable[[Facts], Decision | None]


def decide(facts: Facts) -> Decision:
    """Return what the first rule that speaks has to say."""
    for _, rule in RULES:
        decision = rule(facts)
        if decision is not None:
            return decision
    return Decision(RELAY_DENIED, "relay-denied", facts.user.login)


def explain(facts: Facts) -> tuple[tuple[str, Decision | None], ...]:
    """Return what every rule says by itself, in order."""
    verdicts = tuple((name, rule(facts)) for name, rule in RULES)
    return (*verdicts, ("relay-denied", Decision(RELAY_DENIED, "relay-denied", facts.user.login)))


def _no_access(facts: Facts) -> Decision | None:
    return None if facts.admitted else Decision(NOT_ACCEPTED, "no-access", facts.user.login)


def _blocked_address(facts: Facts) -> Decision | None:
    if facts.blacklisted and not facts.whitelisted:
        return Decision(NOT_ACCEPTED, "blocked-address", facts.user.login)
    return None


def _local_sender_spoof(facts: Facts) -> Decision | None:
    """Speak when a stranger claims to be one of us.

    A grant makes its user known here: otherwise it would never open anything, since
    that user's own address is a local one.
    """
    if facts.listener.reject_local_sender_spoof and facts.sender_is_local and facts.is_stranger:
        return Decision(NOT_ACCEPTED, "local-sender-spoof")
    return None


def _local_helo_spoof(facts: Facts) -> Decision | None:
    if facts.listener.reject_local_helo_spoof and facts.helo_is_spoofed and facts.is_stranger:
        return Decision(NOT_ACCEPTED, "local-helo-spoof")
    return None


def _auth_required(facts: Facts) -> Decision | None:
    if facts.listener.require_auth is RequireAuth.ALWAYS and not facts.user:
        return Decision(AUTH_REQUIRED, "auth-required")
    return None


def _not_your_address(facts: Facts) -> Decision | None:
    if facts.user and not facts.may_send(facts.user):
        return Decision(NOT_YOUR_ADDRESS, "not-your-address", facts.user.login)
    return None


def _local(facts: Facts) -> Decision | None:
    if facts.place is Place.REMOTE:
        return None
    if facts.place is Place.UNKNOWN and facts.undelivered is not Undelivered.REPORT:
        return Decision(NO_SUCH_USER, "no-such-user", facts.user.login)
    return Decision(ACCEPTED, "local", facts.user.login or _vouching(facts))


def _vouching(facts: Facts) -> str:
    """Return whose grant kept a local sender from looking like a spoofer."""
    return facts.grant.login if facts.granted and facts.sender_is_local else ""


def _always_relay_recipient(facts: Facts) -> Decision | None:
    return _relay_if(facts.always_relay_recipient, "always-relay-recipient", facts.user.login)


def _always_relay_sender(facts: Facts) -> Decision | None:
    return _relay_if(facts.always_relay_sender, "always-relay-sender", facts.user.login)


def _authenticated(facts: Facts) -> Decision | None:
    if not facts.user:
        return None
    if facts.user.may_relay:
        return Decision(ACCEPTED, "authenticated", facts.user.login)
    return Decision(RELAY_DENIED, "no-relay-privilege", facts.user.login)


def _collection_grant(facts: Facts) -> Decision | None:
    """Speak when the client collected its mail a moment ago (POP/IMAP-before-SMTP).

    On the LAN no grant is needed, nor with a certificate, so one that does not cover this
    sender is no reason to refuse.
    """
    if not (facts.listener.collection_grants and facts.grant.may_relay):
        return None
    if facts.granted:
        return Decision(ACCEPTED, "collection-grant", facts.grant.login)
    return (
        None if facts.in_lan or facts.certified else Decision(NOT_YOUR_ADDRESS, "not-your-address")
    )


def _auth_required_to_relay(facts: Facts) -> Decision | None:
    if facts.listener.require_auth is RequireAuth.TO_RELAY:
        return Decision(AUTH_REQUIRED, "auth-required-to-relay")
    return None


def _nonlocal_sender(facts: Facts) -> Decision | None:
    if facts.listener.relay_nonlocal_senders or facts.sender_is_local:
        return None
    return Decision(RELAY_DENIED, "nonlocal-sender")


def _lan(facts: Facts) -> Decision | None:
    return _relay_if(facts.in_lan, "lan")


def _certificate(facts: Facts) -> Decision | None:
    return _relay_if(facts.certified, "certificate")


def _open_relay(facts: Facts) -> Decision | None:
    return _relay_if(facts.listener.relay_outside_lan, "open-relay")


def _relay_if(condition: bool, rule: str, submitter: str = "") -> Decision | None:  # noqa: FBT001 - private, and reads well
    return Decision(ACCEPTED, rule, submitter) if condition else None


RULES: tuple[tuple[str, Rule], ...] = (
    ("no-access", _no_access),
    ("blocked-address", _blocked_address),
    ("local-sender-spoof", _local_sender_spoof),
    ("local-helo-spoof", _local_helo_spoof),
    ("auth-required", _auth_required),
    ("not-your-address", _not_your_address),
    ("local", _local),
    ("always-relay-recipient", _always_relay_recipient),
    ("always-relay-sender", _always_relay_sender),
    ("authenticated", _authenticated),
    ("collection-grant", _collection_grant),
    ("auth-required-to-relay", _auth_required_to_relay),
    ("nonlocal-sender", _nonlocal_sender),
    ("lan", _lan),
    ("certificate", _certificate),
    ("open-relay", _open_relay),
)
"""Name and rule, in the order in which they are asked."""
