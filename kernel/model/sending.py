"""What an administrator has said of mail that leaves us: routes, signing keys, our domains.

Kept by auth, obeyed by delivery: ``GET /internal/sending`` answers one `Sending`. It holds
secrets, so it is told to who shows the service credential alone, and never logged.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from kernel.model.rate import Rate

EVERYTHING = "*"


class TlsPolicy(StrEnum):
    """What a connection to a remote server must be."""

    NONE = "none"  # no STARTTLS even if it is offered
    OPPORTUNISTIC = "opportunistic"  # TLS where it is to be had (RFC 7435)
    REQUIRED = "required"  # TLS, whoever the server is
    VERIFIED = "verified"  # TLS, and the certificate proves the server's name


@dataclass(frozen=True, slots=True)
class Target:
    """A server that a route names: a host name or an IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the domains like ``pattern``: a domain, ``.suffix`` for all below it, or ``*``.

    ``targets`` are tried in turn, primary first; with none, DNS names the servers. What is
    ``None`` or empty is as delivery's settings have it. ``login`` and ``password`` are for a
    smart host that wants them (RFC 4954); for XOAUTH2 the password is the token. A login without
    a password is one whose password is lost: the mail has to wait for it. ``source`` is the
    address that we dial from. ``connections`` at a time and ``rates`` of messages are
    those of all workers together.
    """

    pattern: str
    targets: tuple[Target, ...] = ()
    tls: TlsPolicy | None = None
    implicit_tls: bool = False
    login: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = ""
    source: str = ""
    connections: int | None = None
    messages_per_connection: int | None = None
    rates: tuple[Rate, ...] = ()
    retry: tuple[timedelta, ...] = ()
    give_up_after: timedelta | None = None
    warn_after: timedelta | None = None

    def covers(self, domain: str) -> bool:
        """Return whether this route is for ``domain``."""
        if self.pattern.startswith("."):
            return domain.endswith(self.pattern)
        return self.pattern in (EVERYTHING, domain)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A DKIM key in use. ``algorithm`` is ``rsa`` or ``ed25519``; ``private`` is PEM (PKCS #8)."""

    domain: str
    selector: str
    algorithm: str
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sending:
    """All that delivery has to know. ``routes`` in order: the first that covers a domain counts.

    ``domains`` are ours. ``return_key`` seals the senders of what we forward (SRS).
    """

    routes: tuple[Route, ...] = ()
    keys: tuple[SigningKey, ...] = ()
    domains: tuple[str, ...] = ()
    return_key: bytes = field(default=b"", repr=False)


def route_for(domain: str, routes: tuple[Route, ...]) -> Route | None:
    """Return the first route that covers ``domain``."""
    return next((route for route in routes if route.covers(domain)), None)
