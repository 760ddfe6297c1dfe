"""Who is told what became of a message, and with how much of it (RFC 3461 §5.2, RFC 5321 §6.1)."""

from collections.abc import Collection, Sequence

from kernel.model.address import Address
from kernel.model.envelope import Body, Envelope, MailId, Recipient, derived_mail_id
from kernel.model.events import MailRouted, Stage
from services.delivery.core.report import Letter, Returned, report
from services.delivery.core.settle import FAILURES, Fate, Settlement
from services.delivery.core.templates import Templates
from services.delivery.core.wording import Facts, words_for_postmaster, words_for_sender
from services.delivery.core.xtext import original_of

FULL_LIMIT = 50_000
"""Messages up to so many octets go back whole, unless their sender asked for headers."""

_NEVER = ("NEVER",)
_FAILURE, _DELAY = "FAILURE", "DELAY"
_KEYWORDS = {
    Stage.FAILED: _FAILURE,
    Stage.EXPIRED: _FAILURE,
    Stage.DEFERRED: _DELAY,
    Stage.DELIVERED: "SUCCESS",
    Stage.RELAYED: "SUCCESS",
    Stage.EXPANDED: "SUCCESS",
}
"""The word of NOTIFY that asks to hear of it (RFC 3461 §4.1)."""


def to_report(
    leg: MailRouted, settlement: Settlement, *, late: bool = False, passed_dsn: bool = False
) -> tuple[Fate, ...]:
    """Return the fates of which the sender is to hear: none, if there is no sender.

    The null sender is that of reports, and no report begets another (RFC 5321 §4.5.5). Of
    those who wait it hears if the leg is ``late``. A server that was told its wishes
    (``passed_dsn``) reports on what it takes over; for any other we do (RFC 3461 §5.2.2).
    """
    if leg.envelope.sender is None:
        return ()
    known = {Stage.DEFERRED} | ({Stage.RELAYED} if passed_dsn else set())
    news = [fate for fate in settlement.fates if fate.stage not in known]
    news += settlement.waiting if late else ()
    return tuple(fate for fate in news if _is_wanted(fate, submitted=leg.envelope.submitted))


def to_postmaster(
    leg: MailRouted, settlement: Settlement, told: Sequence[Fate], postmaster: Collection[Address]
) -> tuple[Fate, ...]:
    """Return the failures of which the postmaster gets a copy, if there is one who wants any.

    Those are the ones that the sender hears of; and of mail without a sender, such as a report
    that cannot be delivered, all. Mail to the postmaster is not among them: no copy begets one.
    """
    failures = [fate for fate in told if fate.stage in FAILURES]
    if leg.envelope.sender is None:
        names = {name for r in leg.envelope.recipients for name in _names(r)}
        lost = not any(str(address).lower() in names for address in postmaster)
        failures = list(settlement.failures) if lost else []
    return tuple(failures) if postmaster else ()


def returns_whole(original: Envelope, told: Sequence[Fate], limit: int = FULL_LIMIT) -> bool:
    """Return whether the whole message goes back, and not its headers alone (RFC 3461 §4.3).

    It does so with a failure alone. Of one that must stay under TLS never more than its
    headers (RFC 8689 §5).
    """
    asked_for_headers = original.ret.upper() == "HDRS" or original.requiretls
    failed = any(fate.stage in FAILURES for fate in told)
    return failed and not asked_for_headers and original.size <= limit


def report_id(leg: MailRouted, *, late: bool = False) -> MailId:
    """Return the mail id of the report on ``leg``: the same, however often it is made.

    One that tells of nothing but delay is another: a leg that nobody has tried yet comes back
    under its name, and may fail then.
    """
    cause = f"{leg.id}/late" if late else f"{leg.id}/bounce"
    return derived_mail_id(cause, leg.envelope.received_at)


def report_to_sender(
    leg: MailRouted, facts: Facts, told: Sequence[Fate], returned: Returned, templates: Templates
) -> Envelope:
    """Return the report on ``leg`` to its sender, with its content inline."""
    to = leg.envelope.sender
    assert to is not None  # noqa: S101 - `to_report` names nobody then
    words = words_for_sender(facts, told, templates)
    late = all(fate.stage is Stage.DEFERRED for fate in told)
    letter = Letter(report_id(leg, late=late), (to,), words)
    return _envelope(letter, facts, report(letter, facts, told, returned))


def copy_for_postmaster(
    leg: MailRouted,
    facts: Facts,
    failures: Sequence[Fate],
    headers: Returned,
    templates: Templates,
    *,
    to: tuple[Address, ...],
) -> Envelope:
    """Return what the postmaster gets of it: never more than the headers."""
    mail_id = derived_mail_id(f"{report_id(leg)}/postmaster", leg.envelope.received_at)
    words = words_for_postmaster(facts, failures, templates)
    letter = Letter(mail_id, to, words, automatic="auto-generated")
    return _envelope(letter, facts, report(letter, facts, failures, headers))


def _envelope(letter: Letter, facts: Facts, octets: bytes) -> Envelope:
    return Envelope(
        letter.mail_id,
        None,
        tuple(Recipient(to, notify=_NEVER) for to in letter.to),
        octets,
        facts.now,
        body=Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT,
        smtputf8=not all(to.is_ascii for to in letter.to),
        requiretls=facts.original.requiretls,
        submitted=True,
    )


def _is_wanted(fate: Fate, *, submitted: bool) -> bool:
    """Return whether the sender asked for it.

    Who has not said is told of failures (RFC 3461 §4.1), and of delays if we know who it is: a
    stranger's address may be anybody's.
    """
    notify, keyword = fate.recipient.notify, _KEYWORDS[fate.stage]
    if notify:
        return keyword in notify
    return keyword == _FAILURE or (keyword == _DELAY and submitted)


def _names(recipient: Recipient) -> tuple[str, str]:
    """Return what a recipient is called, and was called before aliases were followed."""
    return str(recipient.address).lower(), original_of(recipient.orcpt).lower()
