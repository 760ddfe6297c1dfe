"""Routes: how they are written, in which order they may stand, and who may be told a password.

What a route means stands in `kernel.model.sending`; delivery obeys it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from kernel.model.address import BadAddressError, parse_domain
from kernel.model.sending import EVERYTHING, Route, Target, TlsPolicy

SMTP, SUBMISSION, SUBMISSIONS = 25, 587, 465
"""Ports of servers: RFC 5321 §4.5.4.2, RFC 6409 §3.1, RFC 8314 §3.3."""
HIGHEST_PORT = 65_535
LAST = ""
"""As the place before which a route is to stand: none, so at the end."""

HIDING = frozenset({"SCRAM-SHA-256", "CRAM-MD5"})
MECHANISMS = (*sorted(HIDING), "PLAIN", "LOGIN", "XOAUTH2")
"""The ways that a smart host may be given a password; the hiding ones do not show it."""
_PROTECTED = frozenset({TlsPolicy.REQUIRED, TlsPolicy.VERIFIED})
_TARGET = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


class BadRouteError(ValueError):
    """The text is no pattern of a route, or no server."""


class BadPlaceError(ValueError):
    """The route cannot stand there; ``is_known`` tells whether there is such a place at all."""

    def __init__(self, detail: str, *, is_known: bool) -> None:
        super().__init__(detail)
        self.is_known = is_known


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route as it is kept: without its password, which is ``sealed``."""

    route: Route
    sealed: str = field(default="", repr=False)

    @property
    def pattern(self) -> str:
        """What the route is for."""
        return self.route.pattern


def parse_pattern(text: str) -> str:
    """Return the canonical form of a domain, ``.suffix``, literal or ``*``.

    ``*.suffix`` means the same as ``.suffix``. Raises `BadRouteError`.
    """
    if text == EVERYTHING:
        return text
    suffix = text.removeprefix(EVERYTHING)
    is_suffix = suffix.startswith(".")
    try:
        domain = parse_domain(suffix[1:] if is_suffix else text)
    except BadAddressError as error:
        raise BadRouteError(f"{text!r} is no pattern: {error}") from None
    if is_suffix and domain.startswith("["):
        raise BadRouteError(f"{text!r} is no pattern: nothing is below an address")
    return f".{domain}" if is_suffix else domain


def parse_target(text: str, default: int = SMTP) -> Target:
    """Return the server in ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``; or raise `BadRouteError`."""
    match = _TARGET.fullmatch(f"[{text}]" if text.count(":") > 1 and text[:1] != "[" else text)
    if match is None:
        raise BadRouteError(f"{text!r} is not HOST or HOST:PORT")
    port = int(match["port"] or default)
    if not 0 < port <= HIGHEST_PORT:
        raise BadRouteError(f"{text!r}: there is no port {port}")
    return Target(_host(match["host"].strip("[]"), text), port)


def default_port(route: Route) -> int:
    """Return the port that the servers of ``route`` have where none is named."""
    if route.implicit_tls:
        return SUBMISSIONS
    return SUBMISSION if route.login else SMTP


def placed(order: Iterable[str], pattern: str, before: str | None) -> tuple[str, ...]:
    """Return ``order`` with ``pattern`` before the route ``before``, or at the end (`LAST`).

    Without a place it gets one where every route counts. Raises `BadPlaceError` where one would
    not, because an earlier route covers all that it is for: the first that covers counts.
    """
    others = [other for other in order if other != pattern]
    at = _place(others, pattern, before)
    for earlier in others[:at]:
        _check(earlier, pattern)
    for later in others[at:]:
        _check(pattern, later)
    return (*others[:at], pattern, *others[at:])


def hides(earlier: str, later: str) -> bool:
    """Whether a route for ``earlier`` leaves nothing to one for ``later`` behind it."""
    if earlier.startswith(".") and later.endswith(earlier):
        return True
    return earlier in (EVERYTHING, later)


def fault(route: Route, *, has_password: bool) -> tuple[str, str] | None:
    """Return the setting of ``route`` that will not do beside the others, and why."""
    if len(set(route.targets)) < len(route.targets):
        return "targets", "a server is named twice"
    if route.implicit_tls and route.tls is TlsPolicy.NONE:
        return "tls", "implicit TLS is TLS"
    if route.warn_after and route.give_up_after and route.warn_after >= route.give_up_after:
        return "warn_after", "by then the mail has been given up"
    return _fault_of_login(route, has_password=has_password)


def needs_password_again(before: Route, after: Route) -> bool:
    """Whether somebody else than before would be told the password that is kept.

    Who may change routes could else send it to a server of their own, and read it there.
    """
    return before.login != after.login or not set(after.targets) <= set(before.targets)


def _fault_of_login(route: Route, *, has_password: bool) -> tuple[str, str] | None:
    if not route.login:
        if has_password:
            return "login", "a password needs a login"
        return ("login", "there is no login for this mechanism") if route.mechanism else None
    if not has_password:
        return "password", "a login needs its password"
    if not route.targets:
        return "targets", "name the servers that may see the password: DNS could name any"
    if _exposes_password(route):
        return "tls", (
            "the password could cross the wire in the clear: say that TLS is required or verified"
        )
    return None


def _exposes_password(route: Route) -> bool:
    if route.implicit_tls or route.tls in _PROTECTED or route.mechanism in HIDING:
        return False
    return not all(_is_loopback(target.host) for target in route.targets)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(host: str, text: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        if "%" in host or address.is_unspecified or address.is_multicast:
            raise BadRouteError(f"{text!r} is no server's address")
        return str(address)
    try:
        return parse_domain(host)
    except BadAddressError as error:
        raise BadRouteError(f"{text!r} is no server: {error}") from None


def _place(others: Sequence[str], pattern: str, before: str | None) -> int:
    if before is None:
        hiding = (at for at, other in enumerate(others) if hides(other, pattern))
        return next(hiding, len(others))
    if before == LAST:
        return len(others) - (others[-1:] == [EVERYTHING])
    if before not in others:
        raise BadPlaceError(f"there is no other route {before}", is_known=False)
    return others.index(before)


def _check(earlier: str, later: str) -> None:
    if hides(earlier, later):
        detail = f"{later} would never count behind {earlier}, which covers it"
        raise BadPlaceError(detail, is_known=True)
