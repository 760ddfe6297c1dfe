"""DMARC: who is aligned, and what becomes of who is not."""

import pytest

from kernel.dkim.authors import author_domains
from kernel.dkim.fields import split_header
from services.ingress.core.authres import AuthResult
from services.ingress.core.dmarc import Policy, judge, parse_record


def organisation(domain):
    return ".".join(domain.split(".")[-2:])


def spf(result, domain):
    return AuthResult("spf", result, (("smtp.mailfrom", domain),))


def dkim(result, domain):
    return AuthResult("dkim", result, (("header.d", domain),))


@pytest.mark.parametrize(
    ("record", "results", "outcome"),
    [
        ("v=DMARC1; p=reject", [spf("pass", "x.test")], ("pass", "none")),
        ("v=DMARC1; p=reject", [spf("pass", "a.x.test")], ("pass", "none")),
        ("v=DMARC1; p=reject; aspf=s", [spf("pass", "a.x.test")], ("fail", "reject")),
        ("v=DMARC1; p=reject", [spf("softfail", "x.test")], ("fail", "reject")),
        ("v=DMARC1; p=reject", [spf("pass", "y.test"), dkim("none", "")], ("fail", "reject")),
        ("v=DMARC1; p=reject", [dkim("fail", "x.test"), dkim("pass", "x.test")], ("pass", "none")),
        ("v=DMARC1; p=reject; adkim=s", [dkim("pass", "a.x.test")], ("fail", "reject")),
        ("v=DMARC1; p=quarantine", [dkim("pass", "y.test")], ("fail", "quarantine")),
        ("v=DMARC1; p=none", [], ("fail", "none")),
        ("v=DMARC1; p=reject; pct=50", [], ("fail", "quarantine")),
        ("v=DMARC1; p=quarantine; pct=0", [], ("fail", "none")),
        ("v=DMARC1; p=reject; t=y", [], ("fail", "quarantine")),
        ("v=DMARC1; p=reject", [spf("temperror", "x.test")], ("temperror", "none")),
        ("v=DMARC1; p=reject", [dkim("temperror", "evil.test")], ("fail", "reject")),
        ("v=spf1 -all", [], ("none", "none")),
        ("v=DMARC1; p=maybe", [], ("none", "none")),
        ("v=DMARC1; p=reject; p=none", [], ("none", "none")),
    ],
)
def test_what_becomes_of_a_message_by_x(record, results, outcome):
    found = judge("x.test", parse_record([record]), results, organisation, own_record=True)

    assert (found.result.result, found.policy) == outcome


def test_what_is_below_a_domain_may_have_another_policy():
    record = parse_record(["v=DMARC1; p=reject; sp=none"])

    below = judge("a.x.test", record, [], organisation, own_record=False)
    own = judge("x.test", record, [], organisation, own_record=True)

    assert (below.policy, own.policy) == (Policy.NONE, Policy.REJECT)


def test_two_records_are_none():
    assert parse_record(["v=DMARC1; p=reject", "v=DMARC1; p=none", "other"]) is None


@pytest.mark.parametrize(
    ("header", "domains"),
    [
        (b"From: a@X.test\r\n", {"x.test"}),
        (b'From: "ceo@bank.test" <a@x.test>\r\n', {"x.test"}),
        (b"From:\r\n\tBob\r\n\t<a@x.test>\r\n", {"x.test"}),
        (b"From: a@x.test, b@y.test\r\n", {"x.test", "y.test"}),
        (b"Subject: none\r\n", set()),
        (b"From: a@x.test\r\nFROM: b@y.test\r\n", None),
        (b"From : a@x.test\r\nFrom: b@y.test\r\n", None),
        (b"From: a@-.test\r\n", None),
        (b"From: undisclosed:;\r\n", set()),
        (b"From: ceo@bank.test@\r\n", None),
        (b'From: "ceo@bank.test" <a@>\r\n', None),
        (b"From: " + b"(" * 2_000 + b"a@x.test\r\n", None),
        (b"From: " + b"a:" * 2_000 + b"a@x.test;\r\n", None),
        (b"From: a@x.test," + b" " * 5_000 + b"\r\n", None),
    ],
)
def test_who_wrote_it(header, domains):
    assert author_domains(split_header(header)) == domains
