"""How secret a conversation with a server must be, who says so, and what if it cannot be."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from kernel.model.reply import Reply
from kernel.model.sending import Route, TlsPolicy
from kernel.mtasts import StsPolicy
from services.delivery.core.dane import Dane
from services.delivery.core.routes import Host


class Level(IntEnum):
    """What is demanded, from nothing to certainty."""

    CLEAR = 0  # no TLS at all
    OPPORTUNISTIC = 1  # TLS where it is to be had (RFC 7435)
    ENCRYPTED = 2  # TLS, whoever the server is
    PROVED = 3  # TLS, and the server's certificate proves who it is


class Source(StrEnum):
    """Who demands it."""

    NOBODY = "nobody"
    ROUTE = "route"
    DANE = "DANE"
    MTA_STS = "MTA-STS"
    REQUIRETLS = "REQUIRETLS"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a conversation must be. Who is meant is proved by ``dane``, or by an authority.

    What is ``relaxed`` is tried like the rest, but the mail goes even if it fails.
    """

    level: Level
    source: Source = Source.NOBODY
    dane: Dane | None = None
    relaxed: bool = False

    @property
    def otherwise(self) -> "Demand | None":
        """What is tried if this cannot be had; ``None``: nothing, and the mail waits."""
        if self.relaxed:
            return OPPORTUNISTIC
        return IN_THE_CLEAR if self.level is Level.OPPORTUNISTIC else None

    @property
    def is_strict(self) -> bool:
        """Whether a conversation in the clear will not do."""
        return self.level >= Level.ENCRYPTED

    @property
    def needs_tls(self) -> bool:
        """Whether a server that does not offer TLS is left at once.

        For REQUIRETLS what it offers is the answer, and a final one (RFC 8689 §4.2.1).
        """
        return self.is_strict and not self.relaxed and self.source is not Source.REQUIRETLS

    def met(self, version: str) -> str:
        """Return how a conversation under this demand went, for people."""
        if not version:
            return "in the clear"
        if self.level is Level.PROVED:
            return f"{version}, verified by {self.source}"
        if self.level is Level.ENCRYPTED:
            return f"{version}, required by {self.source}"
        return f"{version}, unverified"

    def unmet(self, host: str) -> Reply:
        """Return why ``host`` gets no mail under this demand (RFC 3463 §3.8)."""
        return Reply(451, "4.7.5", f"{host} does not prove who it is, as {self.source} demands")

    def refused(self, host: str) -> Reply:
        """Return why ``host``, which does not offer TLS, gets no mail under this demand."""
        return Reply(451, "4.7.4", f"{host} does not offer TLS, as {self.source} demands")


NOT_NAMED = Reply(451, "4.7.5", "The domain's policy (MTA-STS) does not name its mail server")
IN_THE_CLEAR = Demand(Level.CLEAR)
OPPORTUNISTIC = Demand(Level.OPPORTUNISTIC)

_BY_ROUTE = {
    TlsPolicy.NONE: Level.CLEAR,
    TlsPolicy.OPPORTUNISTIC: Level.OPPORTUNISTIC,
    TlsPolicy.REQUIRED: Level.ENCRYPTED,
    TlsPolicy.VERIFIED: Level.PROVED,
}


def is_stray(host: Host, route: Route | None, sts: StsPolicy | None) -> bool:
    """Return whether the domain's policy counts, and does not name this server."""
    is_ruled = route is not None and route.tls is not None
    is_proved_by_dane = host.dane is not None and bool(host.dane.records)
    return not (sts is None or is_ruled or is_proved_by_dane or sts.admits(host.name))


def demand_for(
    host: Host, route: Route | None, sts: StsPolicy | None, *, guarded: bool
) -> Demand | None:
    """Return what a conversation with ``host`` must be; ``None``: there is to be none.

    An administrator's word is the last. Without one DANE comes before MTA-STS, which never
    makes good what DANE finds wanting (RFC 8461 §2). ``guarded`` mail (RFC 8689 §4.2.1) goes
    to nobody who has not proved who it is.
    """
    if is_stray(host, route, sts):
        if sts is not None and sts.is_enforced:
            return None  # RFC 8461 §5
        sts = None
    demand = _demand(route, host.dane, sts)
    if guarded and (demand.level is not Level.PROVED or demand.relaxed):
        return Demand(Level.PROVED, Source.REQUIRETLS)
    if route is not None and route.implicit_tls and not demand.is_strict:
        return Demand(Level.ENCRYPTED, Source.ROUTE)  # RFC 8314 §3: there is no other way in
    return demand


def _demand(route: Route | None, dane: Dane | None, sts: StsPolicy | None) -> Demand:
    if route is not None and route.tls is not None:
        return Demand(_BY_ROUTE[route.tls], Source.ROUTE)
    if dane is not None and dane.records:
        return Demand(Level.PROVED, Source.DANE, dane)
    if sts is not None and sts.is_enforced:
        return Demand(Level.PROVED, Source.MTA_STS)
    if dane is not None:  # records that prove nothing still promise TLS (RFC 7672 §2.2)
        return Demand(Level.ENCRYPTED, Source.DANE)
    if sts is not None:
        return Demand(Level.PROVED, Source.MTA_STS, relaxed=True)
    return OPPORTUNISTIC
