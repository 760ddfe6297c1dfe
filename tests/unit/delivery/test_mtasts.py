"""What domains say of their mail servers (RFC 8461)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.hostnames import covers
from kernel.mtasts import (
    LONGEST,
    MOST_HOSTS,
    BadPolicyError,
    Mode,
    StsPolicy,
    parse_policy,
    policy_id,
)

POLICY = """\
version: STSv1
mode: enforce
mx: mail.example.com
mx: *.Example.net
mx: backupmx.example.com
max_age: 604800
"""


@pytest.mark.parametrize(
    ("records", "called"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1 ; id = a1 ; more=x"], "a1"),
        (["v=STSv1; more=x; id=2"], "2"),
        (["something else", "v=STSv1; id=3;"], "3"),
        ([], None),
        (["v=STSv1; id=1;", "v=STSv1; id=2;"], None),
        (["v=STSv10; id=1;"], None),
        (["v=STSv1; id=;"], None),
        (["v=STSv1; id=a-b;"], None),
        ([f"v=STSv1; id={'a' * 33};"], None),
        (["id=1; v=STSv1"], None),
    ],
)
def test_a_record_tells_that_there_is_a_policy(records, called):
    assert policy_id(records) == called


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_policy_is_read(line_end):
    assert parse_policy(POLICY.replace("\n", line_end)) == StsPolicy(
        Mode.ENFORCE,
        ("mail.example.com", "*.example.net", "backupmx.example.com"),
        timedelta(days=7),
    )


def test_what_nobody_knows_is_passed_over_and_the_first_of_two_counts():
    policy = parse_policy(POLICY + "mode: none\nfuture: thing\nnot a field\n")

    assert policy.mode is Mode.ENFORCE


def test_a_domain_may_take_its_policy_back():
    policy = parse_policy("version: STSv1\nmode: none\nmax_age: 86400\n")

    assert policy == StsPolicy(Mode.NONE, (), timedelta(days=1))


def test_nothing_is_remembered_for_more_than_a_year():
    policy = parse_policy(POLICY.replace("604800", "9999999999"))

    assert policy.max_age == timedelta(seconds=LONGEST)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("STSv1", "STSv2"),
        ("version: STSv1\n", ""),
        ("enforce", "strict"),
        ("mode: enforce\n", ""),
        ("604800", "a week"),
        ("604800", "-1"),
        ("max_age: 604800\n", ""),
        ("mail.example.com", "mail..example.com"),
        ("mail.example.com", "*.*.example.com"),
        ("mail.example.com", "-"),
        ("mail.example.com", ""),
        ("mx: ", "my: "),
        ("max_age", "mx: x.test\n" * MOST_HOSTS + "max_age"),
    ],
)
def test_what_is_no_policy_is_refused(good, bad):
    with pytest.raises(BadPolicyError):
        parse_policy(POLICY.replace(good, bad))


@given(st.text() | st.text(alphabet="vmxode: STSv1*.-\n"))
def test_any_text_is_a_policy_or_is_refused(text):
    try:
        policy = parse_policy(text)
    except BadPolicyError:
        return
    assert parse_policy("\n".join(policy.lines)) == policy


def test_a_policy_is_written_as_it_is_read():
    policy = parse_policy(POLICY)

    assert parse_policy("\n".join(policy.lines)) == policy


def test_a_host_name_takes_no_time_to_read():
    with pytest.raises(BadPolicyError):
        parse_policy(POLICY.replace("mail.example.com", "a" * 50_000 + "!"))


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("mx.example.com", "mx.example.com", True),
        ("mx.example.com", "MX.example.com.", True),
        ("mx.example.com", "mx2.example.com", False),
        ("*.example.com", "mx.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "a.mx.example.com", False),
        ("m*.example.com", "mx.example.com", False),
        ("*", "com", False),
    ],
)
def test_a_star_stands_for_one_label(pattern, name, is_covered):
    assert covers(pattern, name) is is_covered
