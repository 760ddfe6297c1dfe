"""Checks: what they found out about a message, and what becomes of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kernel.model.reply import Reply
from services.ingress.core.authres import AuthResult, field_for

CANNOT_CHECK = Reply(451, "4.7.1", "The message cannot be checked now, try again later")
SUSPICIOUS = b"X-Spam-Flag: YES\r\n"
"""What people's filters look for."""


class Ending(StrEnum):
    """How a check that did not come to an end ended."""

    UNAVAILABLE = "unavailable"  # what it asks does not answer
    OVERDUE = "overdue"
    BROKEN = "broken"  # our own fault


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. ``outcome`` is one word, for the log and the counters."""

    check: str
    outcome: str
    results: tuple[AuthResult, ...] = ()
    refusal: Reply | None = None
    suspicious: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: refused, or ``fields`` go before it."""

    refusal: Reply | None = None
    fields: bytes = b""


def settle(findings: Sequence[Finding], hostname: str, closed: Collection[str]) -> Verdict:
    """Return what becomes of a message. What is certain comes before what is only so now.

    ``closed`` names the checks without which no mail is taken. A check that broke is our own
    fault and keeps nobody's mail out.
    """
    refusals = [finding.refusal for finding in findings if finding.refusal is not None]
    refusals.sort(key=lambda refusal: not refusal.is_permanent)
    if not refusals and any(_is_missed(finding, closed) for finding in findings):
        refusals = [CANNOT_CHECK]
    if refusals:
        return Verdict(refusals[0])

    results = [result for finding in findings for result in finding.results]
    suspicious = any(finding.suspicious for finding in findings)
    return Verdict(fields=field_for(hostname, results) + (SUSPICIOUS if suspicious else b""))


def _is_missed(finding: Finding, closed: Collection[str]) -> bool:
    return finding.check in closed and finding.outcome in {Ending.UNAVAILABLE, Ending.OVERDUE}
