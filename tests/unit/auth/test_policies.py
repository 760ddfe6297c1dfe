"""From a question to the facts that the rules look at."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.model.address import Address
from kernel.model.questions import Place, RelayQuestion
from services.auth.core.directory import SHARED, Domain, Entry, Undelivered, User
from services.auth.core.lan import Networks, parse_client
from services.auth.core.listener import DEFAULTS
from services.auth.core.policies import AddressList, Grant, Policies
from services.auth.core.relay import NOBODY, Standing
from tests.support.mail import ANN, BOB, EVE, NOON

STRANGER = "203.0.113.9"
POLICIES = Policies(
    "mx.ours.test",
    {"ours.test": Domain("ours.test", primary=True, undelivered=Undelivered.REPORT)},
    Networks.of(["192.168.1.*"]),
    DEFAULTS,
)
ENTRIES = {(SHARED, "ann"): Entry("ann", ANN)}
USERS = {"ann": User("ann", ANN), "off": User("off", BOB, disabled=True), "ghost": None}


def facts(policies=POLICIES, **asked):
    known = {
        "listener": "mx",
        "client": STRANGER,
        "helo": "client.test",
        "sender": EVE,
        "recipient": BOB,
    }
    return policies.facts(RelayQuestion(**{**known, **asked}), ENTRIES, USERS, NOON)


def test_recipients_are_placed():
    assert facts(recipient=ANN).place is Place.MAILBOX
    assert facts(recipient=BOB).place is Place.REMOTE

    nobody = facts(recipient=Address("nobody", "ours.test"))
    assert (nobody.place, nobody.undelivered) == (Place.UNKNOWN, Undelivered.REPORT)


def test_the_lan_is_recognised():
    assert facts(client="192.168.1.7").in_lan
    assert facts(client="::ffff:192.168.1.7").in_lan
    assert not facts().in_lan
    assert not facts(client="nonsense").in_lan


def test_a_login_brings_its_users_rights():
    seen = facts(login="ann", sender=ANN)

    assert seen.user == Standing("ann", may_relay=True, owns_sender=True)
    assert not facts(login="ann", sender=EVE).user.owns_sender


@pytest.mark.parametrize("login", ["off", "ghost"])
def test_a_user_who_is_disabled_or_gone_is_not_logged_in_any_more(login):
    assert facts(login=login).user == NOBODY


@pytest.mark.parametrize(
    ("helo", "client", "spoofed"),
    [
        ("mx.ours.test", STRANGER, True),
        ("MX.ours.test", STRANGER, True),
        ("ours.test", STRANGER, True),
        ("mx.ours.test.", STRANGER, True),
        ("client.test", STRANGER, False),
        ("not a name", STRANGER, False),
        ("mx.ours.test", "127.0.0.2", False),
    ],
)
def test_our_name_in_helo_is_a_lie_except_on_our_own_machine(helo, client, spoofed):
    assert facts(helo=helo, client=client).helo_is_spoofed is spoofed


def test_a_sender_is_local_or_not():
    assert facts(sender=ANN).sender_is_local
    assert not facts(sender=EVE).sender_is_local
    assert not facts(sender=None).sender_is_local


@pytest.mark.parametrize(
    ("access", "client", "admitted"),
    [
        (("any",), STRANGER, True),
        ((), STRANGER, False),
        (("lan",), STRANGER, False),
        (("lan",), "192.168.1.7", True),
        (("any", "!203.0.113.0/24"), STRANGER, False),
        (("any", "!203.0.113.0/24"), "198.51.100.1", True),
        (("203.0.113.0/24",), STRANGER, True),
        (("lan", "!192.168.1.66/32"), "192.168.1.66", False),
    ],
)
def test_who_may_connect(access, client, admitted):
    listeners = {"mx": replace(DEFAULTS["mx"], access=access)}

    assert facts(replace(POLICIES, listeners=listeners), client=client).admitted is admitted


@pytest.mark.parametrize(
    "entry",
    [("client", "203.0.113.0/24"), ("sender", "*@stranger.test"), ("recipient", "elsewhere.test")],
)
def test_lists_name_clients_senders_and_recipients(entry):
    listed = AddressList.of([entry])

    assert facts(replace(POLICIES, black=listed)).blacklisted
    assert facts(replace(POLICIES, white=listed)).whitelisted
    assert not facts().blacklisted


def test_patterns_that_always_relay():
    listener = replace(
        DEFAULTS["mx"],
        always_relay_senders=("eve@stranger.test",),
        always_relay_recipients=("elsewhere.test",),
    )

    seen = facts(replace(POLICIES, listeners={"mx": listener}))

    assert seen.always_relay_sender
    assert seen.always_relay_recipient


def with_grants(*grants):
    return replace(POLICIES, grants={parse_client(STRANGER): grants})


def test_a_fresh_grant_brings_its_users_rights():
    policies = with_grants(Grant("ann", NOON + timedelta(seconds=1)))

    seen = facts(policies, sender=ANN)

    assert seen.grant == Standing("ann", may_relay=True, owns_sender=True)
    assert not facts(policies, sender=EVE).grant.owns_sender
    assert facts(policies, client="198.51.100.1").grant == NOBODY


@pytest.mark.parametrize(
    "grant", [Grant("ann", NOON), Grant("off", NOON + timedelta(hours=1))], ids=["old", "disabled"]
)
def test_a_grant_ends_with_its_time_or_its_user(grant):
    assert facts(with_grants(grant), sender=ANN).grant == NOBODY


def test_behind_one_address_the_grant_of_the_sender_counts():
    later = NOON + timedelta(minutes=5)
    users = USERS | {"eve": User("eve", EVE)}
    policies = with_grants(Grant("eve", later), Grant("ann", later))
    question = RelayQuestion("mx", STRANGER, "client.test", ANN, BOB)

    assert policies.logins(question) == ("eve", "ann")
    assert policies.facts(question, ENTRIES, users, NOON).grant.login == "ann"
