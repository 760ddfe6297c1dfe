"""What is known of TLS with other servers, and the report of it (RFC 8460)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

MOST_DOMAINS = 10_000
"""Of more than so many domains nothing is kept until the next report."""
MOST_DETAILS = 100
"""More than so many kinds of failure of one domain count, but are not told apart."""
_MX = "mx: "  # of a policy's lines (RFC 8461 §3.2)


class PolicyKind(StrEnum):
    """What said how to talk to a server (RFC 8460 §4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class Result(StrEnum):
    """What went wrong (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a domain has said of its servers, as it said it."""

    kind: PolicyKind = PolicyKind.NONE
    domain: str = ""
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A session that came to nothing, or was not what it should be. Empty is not known."""

    result: Result
    host: str = ""
    address: str = ""
    why: str = ""


@dataclass(slots=True)
class _Sessions:
    good: int = 0
    bad: Counter[Failure] = field(default_factory=Counter)


class Tally:
    """Counts sessions since ``since``, by policy. What comes in bounded numbers is bounded here."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._by_policy: dict[Policy, _Sessions] = {}

    def succeed(self, policy: Policy) -> None:
        """Count a session that was as it should be."""
        sessions = self._of(policy)
        if sessions is not None:
            sessions.good += 1

    def fail(self, policy: Policy, failure: Failure) -> None:
        """Count one that was not."""
        sessions = self._of(policy)
        if sessions is None:
            return
        if failure not in sessions.bad and len(sessions.bad) >= MOST_DETAILS:
            failure = Failure(failure.result)
        sessions.bad[failure] += 1

    def _of(self, policy: Policy) -> _Sessions | None:
        known = self._by_policy.get(policy)
        if known is None and len(self._by_policy) < MOST_DOMAINS:
            known = self._by_policy[policy] = _Sessions()
        return known

    def reports(self, organization: str, contact: str, now: datetime) -> dict[str, dict[str, Any]]:
        """Return the report of each policy domain (RFC 8460 §4.4), by domain."""
        by_domain: dict[str, list[dict[str, Any]]] = {}
        for policy, sessions in self._by_policy.items():
            by_domain.setdefault(policy.domain, []).append(_section(policy, sessions))
        return {
            domain: {
                "organization-name": organization,
                "date-range": {"start-datetime": _time(self.since), "end-datetime": _time(now)},
                "contact-info": contact,
                "report-id": f"{self.since:%Y%m%dT%H%M%SZ}.{domain}@{organization}",
                "policies": sections,
            }
            for domain, sections in by_domain.items()
        }


def _section(policy: Policy, sessions: _Sessions) -> dict[str, Any]:
    said: dict[str, Any] = {"policy-type": policy.kind.value, "policy-domain": policy.domain}
    if policy.text:
        said["policy-string"] = list(policy.text)
    if policy.kind is PolicyKind.STS:
        said["mx-host"] = [line.removeprefix(_MX) for line in policy.text if line.startswith(_MX)]
    section: dict[str, Any] = {
        "policy": said,
        "summary": {
            "total-successful-session-count": sessions.good,
            "total-failure-session-count": sessions.bad.total(),
        },
    }
    if sessions.bad:
        section["failure-details"] = [*_details(sessions.bad.items())]
    return section


def _details(failures: Iterable[tuple[Failure, int]]) -> Iterable[dict[str, Any]]:
    for failure, count in failures:
        known = {
            "result-type": failure.result.value,
            "receiving-mx-hostname": failure.host,
            "receiving-ip": failure.address,
            "failure-reason-code": failure.why,
        }
        yield {key: value for key, value in known.items() if value} | {
            "failed-session-count": count
        }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
