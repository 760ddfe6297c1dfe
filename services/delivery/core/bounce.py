"""Who is told that a message failed, and with how much of it (RFC 3461 §5.2, RFC 5321 §6.1)."""

from collections.abc import Sequence

from kernel.model.envelope import Body, Envelope, MailId, Recipient, derived_mail_id
from kernel.model.events import MailRouted
from services.delivery.core.report import Facts, Returned, report
from services.delivery.core.settle import Fate

FULL_LIMIT = 50_000
"""Messages up to so many octets go back whole, unless their sender asked for headers."""


def to_report(leg: MailRouted, failures: Sequence[Fate]) -> tuple[Fate, ...]:
    """Return those of whose failure the sender is to hear: nobody, if there is no sender.

    The null sender is that of reports, and no report begets another (RFC 5321 §4.5.5).
    """
    if leg.envelope.sender is None:
        return ()
    return tuple(fate for fate in failures if _wants_to_know(fate.recipient))


def returns_whole(original: Envelope, limit: int = FULL_LIMIT) -> bool:
    """Return whether the whole message goes back, and not its headers alone (RFC 3461 §4.3).

    Of one that must stay under TLS never more than its headers (RFC 8689 §5), nor of a binary
    one: the report goes where that may not be taken (RFC 3030 §3).
    """
    asked_for_headers = original.ret.upper() == "HDRS" or original.requiretls
    is_binary = original.body is Body.BINARY
    return not (asked_for_headers or is_binary) and original.size <= limit


def report_id(leg: MailRouted) -> MailId:
    """Return the mail id of the report on ``leg``: the same, however often it is made."""
    return derived_mail_id(f"{leg.id}/bounce", leg.envelope.received_at)


def bounce(leg: MailRouted, facts: Facts, failures: Sequence[Fate], returned: Returned) -> Envelope:
    """Return the report on ``leg`` to its sender, with its content inline."""
    to = leg.envelope.sender
    assert to is not None  # noqa: S101 - `to_report` names nobody then
    mail_id = report_id(leg)
    octets = report(facts, failures, returned, to, mail_id)
    return Envelope(
        mail_id,
        None,
        (Recipient(to, notify=("NEVER",)),),
        octets,
        facts.now,
        body=Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT,
        smtputf8=not to.is_ascii,
        requiretls=leg.envelope.requiretls,
        submitted=True,
    )


def _wants_to_know(recipient: Recipient) -> bool:
    return not recipient.notify or "FAILURE" in recipient.notify
