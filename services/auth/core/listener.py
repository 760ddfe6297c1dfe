"""Listeners: everything that can be set about one SMTP service, and the three we start with."""

from dataclasses import dataclass
from enum import StrEnum

from kernel.model.questions import BareLineEnds, Listener, PlaintextAuth, TlsMode
from kernel.model.rate import Rate
from kernel.sasl import OFFERED

ANY, LAN = "any", "lan"
"""Words for ``access`` beside networks and ``!networks``."""

_MEBIBYTE = 1024 * 1024


class RequireAuth(StrEnum):
    """Who has to log in."""

    NEVER = "never"
    TO_RELAY = "to-relay"  # being on the LAN does not suffice
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """The settings of one listener. The defaults are those of a listener for the world."""

    tls: TlsMode = TlsMode.STARTTLS
    access: tuple[str, ...] = (ANY,)
    mechanisms: tuple[str, ...] = ()
    plaintext_auth: PlaintextAuth = PlaintextAuth.NEVER
    require_auth: RequireAuth = RequireAuth.NEVER
    own_addresses_only: bool = True
    collection_grants: bool = False
    relay_outside_lan: bool = False
    relay_nonlocal_senders: bool = True
    always_relay_senders: tuple[str, ...] = ()
    always_relay_recipients: tuple[str, ...] = ()
    reject_local_sender_spoof: bool = True
    reject_local_helo_spoof: bool = True
    max_message_size: int = 50 * _MEBIBYTE
    max_recipients: int = 100
    max_connections: int = 1000
    max_connections_per_ip: int = 100
    bare_line_ends: BareLineEnds = BareLineEnds.REFUSE
    message_rate_per_ip: tuple[str, ...] = ("100000/hour",)
    recipient_rate_per_ip: tuple[str, ...] = ("500000/hour",)
    message_rate_per_user: tuple[str, ...] = ("10000/hour",)
    recipient_rate_per_user: tuple[str, ...] = ("20000/hour",)
    greet_pause: int = 0
    client_certificates: bool = False
    trusted_certificates: tuple[str, ...] = ()

    def public(self, name: str) -> Listener:
        """Return what ingress must know of the listener ``name``."""
        return Listener(
            name,
            self.tls,
            self.mechanisms,
            self.plaintext_auth,
            self.max_message_size,
            self.max_recipients,
            self.max_connections,
            self.max_connections_per_ip,
            restricted=self._must_know_the_lan,
            bare_line_ends=self.bare_line_ends,
            message_rate_per_ip=_rates(self.message_rate_per_ip),
            recipient_rate_per_ip=_rates(self.recipient_rate_per_ip),
            message_rate_per_user=_rates(self.message_rate_per_user),
            recipient_rate_per_user=_rates(self.recipient_rate_per_user),
            greet_pause=self.greet_pause,
            client_certificates=self.client_certificates,
        )

    def trusts(self, certificate: str) -> bool:
        """Whether a client with this certificate is known here; empty is none."""
        if not (certificate and self.client_certificates):
            return False
        return certificate in self.trusted_certificates

    @property
    def _must_know_the_lan(self) -> bool:
        """Whether who connects decides on what happens before the first command."""
        in_the_clear = self.plaintext_auth is PlaintextAuth.LAN
        return self.access != (ANY,) or in_the_clear or self.greet_pause > 0


def _rates(texts: tuple[str, ...]) -> tuple[Rate, ...]:
    return tuple(map(Rate.parse, texts))


def _for_users(tls: TlsMode) -> ListenerSettings:
    return ListenerSettings(
        tls=tls,
        mechanisms=OFFERED,
        require_auth=RequireAuth.ALWAYS,
        reject_local_sender_spoof=False,
        reject_local_helo_spoof=False,
        max_recipients=1000,
    )


DEFAULTS = {
    "mx": ListenerSettings(),
    "submission": _for_users(TlsMode.STARTTLS_REQUIRED),
    "submissions": _for_users(TlsMode.IMPLICIT),
}
"""Port 25 for the world, 587 and 465 for our users."""
