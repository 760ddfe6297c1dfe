"""Doorway: where a client came in, and what is on offer there."""

from collections.abc import Callable
from dataclasses import dataclass

from kernel.model.envelope import MailId
from kernel.model.questions import Listener, PlaintextAuth, TlsMode
from kernel.model.reply import Reply
from services.ingress.core import replies, sasl

_ALWAYS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")


@dataclass(frozen=True, slots=True)
class Doorway:
    """A listener, and what all of them share.

    ``new_id`` makes mail ids; ``is_blocked`` says whether no mail can be taken right now.
    """

    listener: Listener
    hostname: str
    domain: str
    new_id: Callable[[], MailId]
    is_blocked: Callable[[], bool]
    max_errors: int = 20
    max_hops: int = 50

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS is offered to whoever has no TLS yet."""
        return self.listener.tls is not TlsMode.NONE

    @property
    def requires_tls(self) -> bool:
        """Whether nothing of weight goes without TLS."""
        return self.listener.tls in (TlsMode.STARTTLS_REQUIRED, TlsMode.IMPLICIT)

    def extensions(self, *, secured: bool) -> str:
        """Return the answer to EHLO, line by line."""
        mechanisms = " ".join(self._mechanisms(secured=secured))
        lines = [self.hostname, *_ALWAYS, f"SIZE {self.listener.max_message_size}"]
        if self.offers_tls and not secured:
            lines.append("STARTTLS")
        if mechanisms:
            lines.append(f"AUTH {mechanisms}")
        return "\n".join(lines)

    def refuse_mechanism(self, mechanism: str, *, secured: bool) -> Reply | None:
        """Return why ``mechanism`` cannot be used now, or None."""
        if not self.listener.mechanisms:
            return replies.AUTH_UNAVAILABLE
        if mechanism not in self.listener.mechanisms or mechanism not in sasl.MECHANISMS:
            return replies.AUTH_UNKNOWN_MECHANISM
        if mechanism in self._mechanisms(secured=secured):
            return None
        if mechanism in sasl.NEEDS_TLS and self.listener.plaintext_auth is not PlaintextAuth.ALWAYS:
            return replies.AUTH_NEEDS_TLS
        return replies.TLS_FIRST

    def _mechanisms(self, *, secured: bool) -> tuple[str, ...]:
        if self.requires_tls and not secured:
            return ()
        openly = secured or self.listener.plaintext_auth is PlaintextAuth.ALWAYS
        return tuple(
            mechanism
            for mechanism in self.listener.mechanisms
            if mechanism in sasl.MECHANISMS and (openly or mechanism not in sasl.NEEDS_TLS)
        )
