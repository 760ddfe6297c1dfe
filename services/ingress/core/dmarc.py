"""DMARC: does the author's domain stand behind this message, and what if not (RFC 7489)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kernel.dkim.tags import BadTagsError, parse_tags
from services.ingress.core.authres import AuthResult

Organisation = Callable[[str], str]
"""Returns the organisational domain of a domain (§3.2)."""


class Policy(StrEnum):
    """What a domain wants to happen to mail that it does not stand behind (§6.3)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


_MILDER = {
    Policy.REJECT: Policy.QUARANTINE,
    Policy.QUARANTINE: Policy.NONE,
    Policy.NONE: Policy.NONE,
}


@dataclass(frozen=True, slots=True)
class Record:
    """A domain's DMARC record."""

    policy: Policy
    subdomain_policy: Policy
    strict_dkim: bool
    strict_spf: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What DMARC says of a message: for the field, and what is to be done."""

    result: AuthResult
    policy: Policy = Policy.NONE


def parse_record(texts: Iterable[str]) -> Record | None:
    """Return the one record among TXT records; None if there is none to go by (§6.6.3)."""
    found = [text for text in texts if text.partition(";")[0].replace(" ", "") == "v=DMARC1"]
    if len(found) != 1:
        return None
    try:
        tags = parse_tags(found[0])
        policy = Policy(tags.get("p", "none").lower())
        below = Policy(tags.get("sp", policy).lower())
    except (BadTagsError, ValueError):
        return None
    if tags.get("pct", "100") != "100" or tags.get("t") == "y":
        policy, below = _MILDER[policy], _MILDER[below]
    return Record(policy, below, tags.get("adkim") == "s", tags.get("aspf") == "s")


def judge(
    author: str,
    record: Record | None,
    results: Sequence[AuthResult],
    organisation: Organisation,
    *,
    own_record: bool,
) -> Judgement:
    """Return what DMARC says of a message by ``author`` (§6.6.2).

    ``own_record`` says that the record is the author's own, not its organisation's. Where
    DNS left us in doubt about a result that might have helped, so is the answer.
    """
    if record is None:
        return Judgement(_result("none", author))

    aligned = [result for result in results if _is_aligned(result, author, record, organisation)]
    if any(result.result == "pass" for result in aligned):
        return Judgement(_result("pass", author))
    if any(result.result == "temperror" for result in aligned):
        return Judgement(_result("temperror", author))

    policy = record.policy if own_record else record.subdomain_policy
    return Judgement(_result("fail", author, f"p={policy}"), policy)


def _result(result: str, author: str, reason: str = "") -> AuthResult:
    return AuthResult("dmarc", result, (("header.from", author),), reason)


def _is_aligned(
    result: AuthResult, author: str, record: Record, organisation: Organisation
) -> bool:
    """Return whether a result speaks for the author's domain (§3.1)."""
    names = dict(result.properties)
    match result.method:
        case "spf":
            domain, strict = names.get("smtp.mailfrom") or names.get("smtp.helo"), record.strict_spf
        case "dkim":
            domain, strict = names.get("header.d"), record.strict_dkim
        case _:
            return False
    if not domain:
        return False
    return domain == author or (not strict and organisation(domain) == organisation(author))
