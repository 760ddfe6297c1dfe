"""Journal: what the mail log and the counters hear of each message."""

from kernel import maillog
from kernel.model.envelope import Envelope
from services.ingress import metrics
from services.ingress.core.effects import Offer, Refused, Rejected


def accepted(offer: Offer, envelope: Envelope) -> None:
    """Note that a message is ours."""
    metrics.messages(offer.listener, "accepted").inc()
    if maillog.is_quiet():
        return
    maillog.note(
        "accepted",
        offer.id,
        listener=offer.listener,
        client=offer.client,
        helo=offer.helo,
        protocol=offer.protocol,
        submitter=offer.submitter,
        sender=str(offer.sender or "<>"),
        recipients=[str(recipient.address) for recipient in offer.recipients],
        rules=list(offer.rules),
        size=envelope.size,
    )


def deferred(offer: Offer, error: Exception) -> None:
    """Note that a message could not be made ours, and its client has to try again."""
    metrics.messages(offer.listener, "deferred").inc()
    maillog.note(
        "not taken", offer.id, listener=offer.listener, client=offer.client, why=repr(error)
    )


def rejected(listener: str, client: str, what: Rejected) -> None:
    """Note that a message was refused for what it holds."""
    metrics.messages(listener, "refused").inc()
    maillog.note(
        "rejected",
        what.mail,
        listener=listener,
        client=client,
        submitter=what.submitter,
        sender=str(what.sender or "<>"),
        reply=str(what.reply),
    )


def refused(listener: str, client: str, what: Refused) -> None:
    """Note that a recipient was refused."""
    metrics.refused_recipients(listener).inc()
    maillog.note(
        "refused",
        what.mail,
        listener=listener,
        client=client,
        submitter=what.submitter,
        sender=str(what.sender or "<>"),
        recipient=str(what.recipient),
        rule=what.rule,
        reply=str(what.reply),
    )
