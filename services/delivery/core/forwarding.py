"""Forwarding: in whose name mail goes on that an address of ours sends out of the house (SRS)."""

from datetime import datetime

from kernel.model.address import Address
from kernel.model.events import MailRouted, Remote
from kernel.model.sending import Sending
from kernel.srs import seal


def is_forwarded(leg: MailRouted) -> bool:
    """Return whether an address of ours has sent the mail there, and not its sender."""
    return isinstance(leg.hop, Remote) and leg.hop.forwarded


def sender_of(leg: MailRouted, sending: Sending, home: str, now: datetime) -> Address | None:
    """Return what MAIL FROM names: a sender at ``home``, our domain, for somebody else's (SRS).

    The null sender stays as it is, and so do our own. Where nobody could find back - no key
    yet, no domain of ours, an address too long to be told - the true one is better than none.
    """
    sender = leg.envelope.sender
    if sender is None or not is_forwarded(leg) or sender.domain in sending.domains:
        return sender
    if not sending.return_key or home not in sending.domains:
        return sender
    return seal(sender, home, sending.return_key, now) or sender
