"""The report of TLS with other servers (RFC 8460)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.delivery.core import tlsrpt
from services.delivery.core.tlsrpt import Failure, Policy, PolicyKind, Result, Tally

MIDNIGHT = datetime(2030, 1, 2, tzinfo=UTC)
LATER = MIDNIGHT + timedelta(days=1)
STS = Policy(PolicyKind.STS, "x.test", ("version: STSv1", "mode: testing", "mx: *.x.test"))
EXPIRED = Failure(Result.CERTIFICATE_EXPIRED, "mx.x.test", "192.0.2.1", "it ended")


@pytest.fixture
def tally():
    return Tally(MIDNIGHT)


def test_a_report_says_what_went_well_and_what_did_not(tally):
    for _ in range(3):
        tally.succeed(STS)
    for _ in range(2):
        tally.fail(STS, EXPIRED)
    tally.fail(STS, Failure(Result.STS_POLICY_FETCH_ERROR))

    report = tally.reports("mx.ours.test", "mailto:tls@ours.test", LATER)["x.test"]

    assert report == {
        "organization-name": "mx.ours.test",
        "date-range": {
            "start-datetime": "2030-01-02T00:00:00Z",
            "end-datetime": "2030-01-03T00:00:00Z",
        },
        "contact-info": "mailto:tls@ours.test",
        "report-id": "20300102T000000Z.x.test@mx.ours.test",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-domain": "x.test",
                    "policy-string": ["version: STSv1", "mode: testing", "mx: *.x.test"],
                    "mx-host": ["*.x.test"],
                },
                "summary": {
                    "total-successful-session-count": 3,
                    "total-failure-session-count": 3,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": "mx.x.test",
                        "receiving-ip": "192.0.2.1",
                        "failure-reason-code": "it ended",
                        "failed-session-count": 2,
                    },
                    {"result-type": "sts-policy-fetch-error", "failed-session-count": 1},
                ],
            }
        ],
    }


def test_each_domain_has_a_report_and_each_policy_its_part_of_it(tally):
    tally.succeed(STS)
    tally.succeed(Policy(PolicyKind.TLSA, "x.test", ("3 1 1 0a",)))
    tally.succeed(Policy(PolicyKind.NONE, "y.test"))

    reports = tally.reports("us", "", LATER)

    kinds = {
        domain: [part["policy"]["policy-type"] for part in report["policies"]]
        for domain, report in reports.items()
    }
    assert kinds == {"x.test": ["sts", "tlsa"], "y.test": ["no-policy-found"]}
    assert "failure-details" not in reports["y.test"]["policies"][0]


def test_of_too_many_domains_the_rest_is_not_kept(tally, monkeypatch):
    monkeypatch.setattr(tlsrpt, "MOST_DOMAINS", 2)

    for domain in ("a.test", "b.test", "c.test", "a.test"):
        tally.succeed(Policy(PolicyKind.NONE, domain))

    assert tally.reports("us", "", LATER).keys() == {"a.test", "b.test"}


def test_too_many_kinds_of_failure_count_and_are_not_told_apart(tally, monkeypatch):
    monkeypatch.setattr(tlsrpt, "MOST_DETAILS", 2)

    for number in range(5):
        tally.fail(STS, Failure(Result.VALIDATION_FAILURE, f"mx{number}.x.test"))

    (part,) = tally.reports("us", "", LATER)["x.test"]["policies"]
    assert part["summary"]["total-failure-session-count"] == 5
    assert [one["failed-session-count"] for one in part["failure-details"]] == [1, 1, 3]
