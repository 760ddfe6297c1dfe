"""Whether a login opens a grant, what it is given to, and how long it stands."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.directory import User
from services.auth.core.grants import Grant, Granting, Refusal
from services.auth.core.lan import Networks, parse_client
from tests.support.mail import ANN, NOON

USER = User("ann", ANN)
GRANTING = Granting(never=Networks.of(["172.18.0.1", "2001:db8:ffff::/48"]))
PRIVATE = ("192.168.1.0/24",)
LOOPBACK = ("127.0.0.0/8", "::1/128")


def judged(client, lan=PRIVATE, user=USER, granting=GRANTING):
    return granting.judge(user, parse_client(client), Networks.of(lan))


@pytest.mark.parametrize(
    ("client", "lan", "refusal"),
    [
        ("203.0.113.9", PRIVATE, None),
        ("192.168.1.7", PRIVATE, None),
        ("2001:db8::7", PRIVATE, None),
        ("fe80::1%eth0", PRIVATE, None),
        ("172.18.0.1", PRIVATE, Refusal.NEVER),
        ("::ffff:172.18.0.1", PRIVATE, Refusal.NEVER),
        ("172.18.0.1", ("172.18.0.0/16",), Refusal.NEVER),
        ("2001:db8:ffff::7", PRIVATE, Refusal.NEVER),
        ("127.0.0.1", PRIVATE, Refusal.LOOPBACK),
        ("127.0.0.1", LOOPBACK, None),
        ("127.0.0.1", ("127.0.0.2",), Refusal.LOOPBACK),
        ("127.0.0.1", ("127.0.0.0/8", "!127.0.0.1"), Refusal.LOOPBACK),
        ("::1", PRIVATE, Refusal.LOOPBACK),
        ("::1", LOOPBACK, None),
        ("::1", ("::/7",), Refusal.LOOPBACK),
        ("localhost", LOOPBACK, Refusal.NO_ADDRESS),
        ("", LOOPBACK, Refusal.NO_ADDRESS),
    ],
)
def test_where_a_login_comes_from_decides_whether_it_opens_a_grant(client, lan, refusal):
    assert judged(client, lan) is refusal


@pytest.mark.parametrize(
    ("user", "refusal"),
    [
        (USER, None),
        (None, Refusal.NO_USER),
        (User("ann", ANN, disabled=True), Refusal.DISABLED),
        (User("ann", ANN, may_relay=False), None),
    ],
    ids=["a user", "nobody", "disabled", "without the privilege"],
)
def test_whose_login_it_is_decides_too(user, refusal):
    assert judged("203.0.113.9", user=user) is refusal


@pytest.mark.parametrize(
    ("client", "prefix", "key"),
    [
        ("203.0.113.9", 128, "203.0.113.9"),
        ("203.0.113.9", 64, "203.0.113.9"),
        ("::ffff:203.0.113.9", 64, "203.0.113.9"),
        ("2001:DB8:0:0::7", 128, "2001:db8::7"),
        ("2001:db8::7", 64, "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", 64, "2001:db8::/64"),
        ("nonsense", 64, "nonsense"),
    ],
)
def test_a_grant_goes_by_the_address_or_by_its_network(client, prefix, key):
    assert Granting(prefix=prefix).key_of(client) == key


def test_a_grant_given_a_moment_ago_is_not_worth_renewing():
    held = Grant("ann", NOON + timedelta(minutes=5))

    assert GRANTING.is_recent(held, NOON)
    assert GRANTING.is_recent(held, NOON + timedelta(seconds=5))
    assert not GRANTING.is_recent(held, NOON + timedelta(seconds=6))
    assert not Granting(time=timedelta(seconds=10)).is_recent(held, NOON + timedelta(minutes=5))


def test_a_grant_from_longer_ago_than_grants_last_now_is_renewed():
    held = Grant("ann", NOON + timedelta(minutes=5))

    assert not Granting(time=timedelta(minutes=10)).is_recent(held, NOON)


@given(st.ip_addresses(), st.sets(st.ip_addresses()), st.booleans())
def test_nothing_that_is_named_as_never_ever_opens_a_grant(client, others, is_named):
    never = Networks.of(map(str, others | {client} if is_named else others))
    refusal = judged(str(client), granting=Granting(never=never))

    assert refusal is not None or parse_client(str(client)) not in never
