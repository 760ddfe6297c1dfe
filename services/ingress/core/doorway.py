"""Doorway: where a client came in, and what is on offer there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kernel.model.envelope import MailId
from kernel.model.questions import Listener, PlaintextAuth, TlsMode
from kernel.model.reply import Reply
from kernel.sasl import MECHANISMS, withheld
from services.ingress.core import replies, xclient
from services.ingress.core.effects import Tls
from services.ingress.core.trace import RELAY

_ALWAYS = (
    "PIPELINING",
    "CHUNKING",
    "BINARYMIME",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
    "DSN",
)


@dataclass(frozen=True, slots=True)
class Doorway:
    """A listener, and what all of them share.

    ``now`` is the clock. ``new_id`` makes mail ids, ``new_nonce`` what nobody can foresee and
    nobody has seen before; ``at_door``, ``at_mail`` and ``at_data`` return what a client hears
    while no mail can be taken, instead of the greeting, to MAIL, and to DATA or a first chunk;
    whoever is let by at MAIL should go on. ``trusts`` says whether a client is believed whom it
    speaks for. ``max_hold`` is for how long users may have their mail held back; nought, and it
    is not on offer.
    """

    listener: Listener
    hostname: str
    domain: str
    now: Callable[[], datetime]
    new_id: Callable[[], MailId]
    new_nonce: Callable[[], str]
    at_door: Callable[[], Reply | None]
    at_mail: Callable[[], Reply | None]
    at_data: Callable[[], Reply | None]
    max_errors: int = 20
    max_unknown: int = 10
    max_hops: int = 50
    trusts: Callable[[str], bool] = lambda _: False
    max_hold: timedelta = timedelta(0)

    @property
    def begins_with_tls(self) -> bool:
        """Whether TLS comes before the first word (RFC 8314 §3.3)."""
        return self.listener.tls is TlsMode.IMPLICIT

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS is offered to whoever has no TLS yet."""
        return self.listener.tls is not TlsMode.NONE

    @property
    def requires_tls(self) -> bool:
        """Whether nothing of weight goes without TLS."""
        return self.listener.tls in (TlsMode.STARTTLS_REQUIRED, TlsMode.IMPLICIT)

    @property
    def holds(self) -> bool:
        """Whether mail may be held back for later (RFC 4865): users' mail, not that of servers."""
        return bool(self.max_hold) and self.listener.name != RELAY

    def extensions(self, tls: Tls | None, *, in_lan: bool, is_trusted: bool = False) -> str:
        """Return the answer to EHLO, line by line."""
        mechanisms = " ".join(self.mechanisms(tls, in_lan=in_lan))
        lines = [self.hostname, *_ALWAYS, f"SIZE {self.listener.max_message_size}"]
        lines.append(f"LIMITS RCPTMAX={self.listener.max_recipients}")  # RFC 9422 §4.2
        if self.holds:
            seconds, latest = int(self.max_hold.total_seconds()), self.now() + self.max_hold
            lines.append(f"FUTURERELEASE {seconds} {latest.astimezone(UTC):%FT%TZ}")
        if tls is not None:
            lines.append("REQUIRETLS")
        elif self.offers_tls:
            lines.append("STARTTLS")
        if mechanisms:
            lines.append(f"AUTH {mechanisms}")
        if is_trusted:
            lines.append(xclient.OFFER)
        return "\n".join(lines)

    def mechanisms(self, tls: Tls | None, *, in_lan: bool) -> tuple[str, ...]:
        """Return the ways to log in that are on offer, the strongest first."""
        if self.requires_tls and tls is None:
            return ()
        offered = set(self.listener.mechanisms) - self._withheld(tls, in_lan=in_lan)
        return tuple(mechanism for mechanism in MECHANISMS if mechanism in offered)

    def refuse_mechanism(self, mechanism: str, tls: Tls | None, *, in_lan: bool) -> Reply | None:
        """Return why ``mechanism`` cannot be used now, or None."""
        if mechanism in self.mechanisms(tls, in_lan=in_lan):
            return None
        if not self.listener.mechanisms:
            return replies.AUTH_UNAVAILABLE
        is_known = mechanism in MECHANISMS and mechanism in self.listener.mechanisms
        if tls is not None or not is_known:
            return replies.AUTH_UNKNOWN_MECHANISM
        withheld = mechanism in self._withheld(None, in_lan=in_lan)
        return replies.AUTH_NEEDS_TLS if withheld else replies.TLS_FIRST

    def _withheld(self, tls: Tls | None, *, in_lan: bool) -> frozenset[str]:
        """Return the mechanisms for which this protection is not enough."""
        allowed = self.listener.plaintext_auth
        openly = allowed is PlaintextAuth.ALWAYS or (in_lan and allowed is PlaintextAuth.LAN)
        return withheld(
            passwords=openly or tls is not None, binding=tls is not None and bool(tls.binding)
        )
