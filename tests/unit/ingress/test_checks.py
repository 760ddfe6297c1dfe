"""What becomes of a message after its checks, and how the results are written down."""

import pytest

from kernel.model.reply import Reply
from services.ingress.core.authres import AuthResult, field_for, without_forged
from services.ingress.core.checks import CANNOT_CHECK, Ending, Finding, settle
from services.ingress.core.dnslists import DnsList

US = "mx.ours.test"
NO = Reply(554, "5.7.1", "No")
LATER = Reply(451, "4.7.1", "Later")


def test_a_field_holds_all_results():
    results = [
        AuthResult("spf", "pass", (("smtp.mailfrom", "x.test"),)),
        AuthResult("dkim", "fail", (("header.d", "x.test"), ("header.s", "")), "bad hash"),
        AuthResult("iprev", "pass", (("policy.iprev", "2001:db8::1"),)),
    ]

    assert field_for(US, results) == (
        b"Authentication-Results: mx.ours.test;\r\n"
        b"\tspf=pass smtp.mailfrom=x.test;\r\n"
        b'\tdkim=fail reason="bad hash" header.d=x.test;\r\n'
        b'\tiprev=pass policy.iprev="2001:db8::1"\r\n'
    )


def test_without_results_the_field_says_so():
    assert field_for(US, []) == b"Authentication-Results: mx.ours.test;\r\n\tnone\r\n"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", 'a" b="c', "é", "\0", "a\\"])
def test_no_value_breaks_out_of_its_place(value):
    field = field_for(US, [AuthResult("spf", "none", (("smtp.helo", value),), value)])

    assert field.count(b"\r\n") == 2
    assert field.isascii()
    assert field.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"') == 4


def test_the_results_of_others_stay():
    header = b"Authentication-Results: mx.elsewhere.test; spf=pass\r\nSubject: hi\r\n"

    assert without_forged(header, US) == header


@pytest.mark.parametrize(
    ("comments", "stays"),
    [
        ("(ours (not) mx.ours.test)", True),
        ("(a\\)b) (c)", True),
        ("(" * 900 + ")" * 900, True),
        ("(" * 1_100 + ")" * 1_100, False),
        ("(\\" * 900, False),
        (")", False),
    ],
)
def test_comments_do_not_hide_who_speaks(comments, stays):
    others = f"Authentication-Results: {comments} mx.elsewhere.test; spf=pass\r\n".encode()
    ours = others.replace(b"elsewhere", b"ours").replace(b"not) mx.ours", b"not) mx.elsewhere")

    assert without_forged(others, US) == (others if stays else b"")
    assert without_forged(ours, US) == b""


@pytest.mark.parametrize(
    ("findings", "closed", "refusal"),
    [
        ([Finding("a", "fine")], set(), None),
        ([Finding("a", "later", refusal=LATER), Finding("b", "no", refusal=NO)], set(), NO),
        ([Finding("a", Ending.UNAVAILABLE)], set(), None),
        ([Finding("a", Ending.UNAVAILABLE)], {"a"}, CANNOT_CHECK),
        ([Finding("a", Ending.OVERDUE)], {"a"}, CANNOT_CHECK),
        ([Finding("a", Ending.UNAVAILABLE)], {"b"}, None),
        ([Finding("a", Ending.BROKEN)], {"a"}, None),
        ([Finding("a", Ending.UNAVAILABLE), Finding("b", "no", refusal=NO)], {"a"}, NO),
    ],
    ids=[
        "nothing against it",
        "what is certain counts first",
        "done without",
        "not without it",
        "nor if it takes too long",
        "another one is closed",
        "our own fault",
        "refused all the same",
    ],
)
def test_what_becomes_of_a_message(findings, closed, refusal):
    assert settle(findings, US, closed).refusal == refusal


def test_a_suspicious_message_is_marked():
    verdict = settle([Finding("a", "add header", suspicious=True)], US, ())

    assert verdict.fields.endswith(b"\r\nX-Spam-Flag: YES\r\n")


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ("192.0.2.99", "99.2.0.192.list.test"),  # RFC 5782 §2.1
        ("2001:db8::1", f"1.{'0.' * 23}8.b.d.0.1.0.0.2.list.test"),
    ],
)
def test_a_list_is_asked_for_the_reversed_address(client, name):
    assert DnsList.parse("List.Test.").name_for(client) == name


@pytest.mark.parametrize("text", ["", "=127.0.0.2", "x.test=nonsense", "x.test=2001:db8::/32"])
def test_a_list_that_cannot_be_read_is_no_list(text):
    with pytest.raises(ValueError, match=r"."):
        DnsList.parse(text)
