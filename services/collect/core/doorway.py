"""Doorway: where a client came in, and what is on offer there."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from kernel.sasl import OFFERED, withheld


class Plaintext(StrEnum):
    """Who may send a password without TLS."""

    NEVER = "never"
    LOOPBACK = "loopback"  # clients on this very machine: nobody listens in between
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Doorway:
    """What all clients of one listener share.

    ``new_nonce`` makes what is unpredictable in a challenge; ``binding`` is what SASL may bind
    to, once there is TLS.
    """

    listener: str
    new_nonce: Callable[[], str]
    binding: bytes = b""
    mechanisms: tuple[str, ...] = OFFERED
    plaintext: Plaintext = Plaintext.LOOPBACK
    max_errors: int = 20

    def takes_passwords(self, client: str, *, secured: bool) -> bool:
        """Whether a password may cross the wire (RFC 2595 §2.2)."""
        match self.plaintext:
            case Plaintext.NEVER:
                return secured
            case Plaintext.LOOPBACK:
                return secured or ip_address(client).is_loopback
            case Plaintext.ALWAYS:
                return True

    def offers(self, client: str, *, secured: bool) -> tuple[str, ...]:
        """Return the mechanisms that ``client`` may use now, in our order of preference."""
        kept = withheld(
            passwords=self.takes_passwords(client, secured=secured),
            binding=secured and bool(self.binding),
        )
        return tuple(name for name in self.mechanisms if name not in kept)
