"""Every event: who emits it, who consumes it. Read me first.

===================  ========================  ===========================  ==============
event                emitted by                consumed by                  how it travels
===================  ========================  ===========================  ==============
`MailAccepted`       ingress, delivery         router                       work
                     (a bounce is mail)
`MailRouted`         router, ledger            delivery (a lane for local   work
                     (waiting mail now due)    and one for remote legs)
`MailDeferred`       delivery, router          ledger                       work
`MailTraced`         router, delivery          ledger                       work
`DirectoryChanged`   auth                      auth, ingress, router,       broadcast
                                               delivery
`WorkerSeen`         delivery                  delivery                     broadcast
`SiteSuspended`      delivery                  delivery                     broadcast
`SiteResumed`        delivery                  delivery                     broadcast
===================  ========================  ===========================  ==============

Work is kept until exactly one consumer has done it, and may come twice; a
broadcast reaches whoever listens at the moment, and may be missed. Every id is
derived from the id that caused it, so twins can be recognised.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kernel.model.address import Address
from kernel.model.envelope import BlobId, Envelope, MailId
from kernel.model.reply import Reply


@dataclass(frozen=True, slots=True)
class Local:
    """The hop into a mailbox of ours. The recipients of such a leg are mailbox names."""

    def __str__(self) -> str:
        return "local"


@dataclass(frozen=True, slots=True)
class Remote:
    """The hop to whoever takes mail for ``domain`` (a domain or an address literal).

    ``forwarded`` says that an address of ours has sent the mail on there: its sender never
    wrote to that domain, and what comes back must find its way through us (SRS).
    """

    domain: str
    forwarded: bool = False

    def __str__(self) -> str:
        return f"{'forward' if self.forwarded else 'remote'}:{self.domain}"


@dataclass(frozen=True, slots=True)
class Nowhere:
    """The hop of recipients whom nobody can place. ``reply`` says why; their sender is told.

    A positive one is for aliases whose members have legs of their own: no more than the news.
    """

    reply: Reply

    def __str__(self) -> str:
        return f"nowhere:{self.reply.status}"


Hop = Local | Remote | Nowhere


@dataclass(frozen=True, slots=True)
class MailAccepted:
    """We answered 250 for this message, or made it ourselves: it is ours now.

    The only event of whoever makes it ours; the ledger hears of it from the router.
    ``origin`` says where it came from: a listener and a client address (``mx
    192.0.2.1``), or the leg that it reports on. ``rules`` names the rule that let
    each recipient in, in the order of the recipients; it may be empty.
    """

    envelope: Envelope
    origin: str = ""
    rules: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The id of the mail."""
        return self.envelope.id


@dataclass(frozen=True, slots=True)
class MailRouted:
    """A leg: the recipients of one message that share a next hop, ready to be tried.

    ``attempt`` counts from 1. Of one that is ``late`` the sender has been told so (RFC 3461
    §5.2.2 has it told once).
    """

    envelope: Envelope
    hop: Hop
    attempt: int = 1
    late: bool = False

    @property
    def id(self) -> str:
        """``<mail>/remote:example.org/2``."""
        return f"{self.envelope.id}/{self.hop}/{self.attempt}"


class Stage(StrEnum):
    """Where a recipient's copy stands. The words of RFC 3464 §2.3.3 where it has one."""

    ACCEPTED = "accepted"  # we answered 250
    ROUTED = "routed"  # placed on a hop
    DEFERRED = "deferred"  # waits in the ledger for its next attempt
    EXPANDED = "expanded"  # ended: an alias, others receive in its stead
    DELIVERED = "delivered"  # ended: in a mailbox
    RELAYED = "relayed"  # ended: a remote server has taken it over
    FAILED = "failed"  # ended: refused for good; the sender is told
    EXPIRED = "expired"  # ended: tried for too long; the sender is told
    CANCELLED = "cancelled"  # ended: an administrator took it out

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to this recipient."""
        return self not in _ON_THE_WAY


_ON_THE_WAY = frozenset({Stage.ACCEPTED, Stage.ROUTED, Stage.DEFERRED})
OUTCOMES = (
    Stage.DEFERRED,
    Stage.DELIVERED,
    Stage.RELAYED,
    Stage.FAILED,
    Stage.EXPIRED,
    Stage.CANCELLED,
)
"""What can come of an attempt."""


@dataclass(frozen=True, slots=True)
class MailDeferred:
    """A leg that cannot be carried now. It waits in the ledger until ``due``.

    ``leg`` is what to publish then: after an attempt, the coming one. ``why`` is
    the last word on it.

    ``unless`` is set when a worker vanished while it had the work, so that nobody
    knows how far it came, and when a leg comes back untried: recipients of whom the
    timeline has an entry of one of these stages, with ``leg`` as its cause, have been
    served and are left out. Without it, a leg that has waited before is a twin.
    """

    leg: MailRouted
    due: datetime
    why: Reply
    unless: tuple[Stage, ...] = ()

    @property
    def id(self) -> str:
        """The id of the leg that waits."""
        return self.leg.id


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one recipient in one step.

    ``detail`` says it for people: the rule that let it in, the hop, the host
    that took it. ``reply`` is the remote's answer or ours, if there was one.
    """

    recipient: Address
    stage: Stage
    detail: str = ""
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the ledger remembers of a message beside its timeline; comes with ``ACCEPTED``.

    ``blob`` is empty when the content is inline. ``origin`` is that of `MailAccepted`.
    """

    sender: Address | None
    size: int
    origin: str
    submitter: str = ""
    blob: BlobId = ""


@dataclass(frozen=True, slots=True)
class MailTraced:
    """A step of a message's way.

    ``cause`` is the id of the mail for ``ACCEPTED`` and ``EXPANDED``, and for ``DEFERRED`` before
    any attempt; it is the id of the leg for ``ROUTED`` and for what came of an attempt. (mail,
    recipient, stage, cause) names an entry of the timeline: a second one of that name is a twin.
    """

    mail: MailId
    at: datetime
    cause: str
    traces: tuple[Trace, ...]
    summary: Summary | None = None

    @property
    def id(self) -> str:
        """Names this step; the same for its twins."""
        return f"{self.cause}/traced/{self.traces[0].stage if self.traces else ''}"


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """Users, domains, aliases, networks or listeners changed: drop what was cached of them.

    ``kind`` is the resource in the REST API's plural (``users``), ``key`` its name.
    """

    kind: str
    key: str = ""

    @property
    def concerns_logins_alone(self) -> bool:
        """Whether it changes neither where mail goes nor what listeners allow."""
        return self.kind in _LOGINS


_LOGINS = frozenset({"grants", "lockouts", "app-passwords", "api-keys"})


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A delivery worker is there, and carries remote legs; it says so again every few seconds.

    ``site_loads`` is how many connections it has to its busiest sites; ``*`` stands for all of
    them together. ``leaving`` is its last word.
    """

    worker: str
    site_loads: dict[str, int]
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class SiteSuspended:
    """Nobody is to try ``site`` before ``until``; then ``worker`` tries it with one message.

    ``why`` is what it last said, or did not say.
    """

    site: str
    until: datetime
    why: Reply
    worker: str


@dataclass(frozen=True, slots=True)
class SiteResumed:
    """``site`` takes mail again."""

    site: str
    worker: str


Work = MailAccepted | MailRouted | MailDeferred | MailTraced
Notice = DirectoryChanged | WorkerSeen | SiteSuspended | SiteResumed
Event = Work | Notice
