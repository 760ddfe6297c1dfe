"""What delivery needs from outside, beside the platform."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kernel.model.address import Address
from kernel.model.events import MailRouted
from kernel.model.reply import Reply
from kernel.model.sending import Route
from kernel.mtasts import StsPolicy
from services.delivery.core.routes import Host


@dataclass(frozen=True, slots=True)
class Carried:
    """A leg was tried. Whoever is not in ``replies`` has had no answer.

    ``host`` gave the answers; ``None`` if it did not come to a conversation. One that has
    taken the sender's wishes for reports (``passed_dsn``) reports on what it took over itself.
    """

    replies: Mapping[Address, Reply]
    host: Host | None = None
    passed_dsn: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """A leg was not tried: as much as may be is under way to the same place, or it rests.

    ``until`` is when it makes sense to come back, if that is known.
    """

    why: Reply
    until: datetime | None = None


class Courier(Protocol):
    """Carries a leg over one kind of hop."""

    async def carry(self, leg: MailRouted) -> Carried | Later:
        """Try once. A remote's failure is a `Reply`; an exception means that we are broken."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a domain's mail goes: hosts in the order to try. Its name counts for limits.

    Domains that share their servers share their site. ``is_ours_to_name`` says that an
    operator has named the hosts, and not DNS, where anybody in between could have. To one
    that is ``guarded`` we talk under TLS alone, once its hosts have proved who they are.
    ``route`` is the administrator's word on how to treat it, if there is one, and ``sts`` the
    domain's own on its servers. ``signed`` says that signed DNS has named the hosts. It was
    found for ``domain``, and is the same site for others.
    """

    name: str
    hosts: tuple[Host, ...]
    is_ours_to_name: bool = False
    guarded: bool = False
    route: Route | None = None
    sts: StsPolicy | None = None
    signed: bool = False
    domain: str = field(default="", compare=False)

    @property
    def is_certain(self) -> bool:
        """Whether nobody in between can have named the hosts (RFC 8689 §4.2.1)."""
        is_enforced = self.sts is not None and self.sts.is_enforced
        return self.is_ours_to_name or self.signed or is_enforced


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """Leave to converse with a site, given at a time in seconds."""

    site: str
    began: float


class Shaping(Protocol):
    """Decides when this worker may converse with a site."""

    def holding(self, name: str) -> AbstractContextManager[Later | None]:
        """Count a leg for ``name`` (a domain, a site) as in hand, or yield why that is too many."""

    async def enter(self, site: Site) -> Turn | Later:
        """Return leave to converse with ``site`` now, or when to come back."""

    def note(self, turn: Turn, failure: Reply | None) -> None:
        """Learn how a connection for ``turn`` ended: with ``failure``, or well."""

    def leave(self, turn: Turn) -> None:
        """Take back the leave."""

    def room(self, name: str) -> int:
        """Return how many connections to a site we may have now, in use or not."""

    def room_in_all(self) -> int:
        """Return how many connections we may have now."""


class Directions(Protocol):
    """Knows the way to a domain."""

    async def find(self, domain: str) -> Site | Reply:
        """Return where mail for ``domain`` (or a literal) goes now, or why that is unknown."""
