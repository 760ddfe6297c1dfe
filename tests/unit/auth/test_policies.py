"""From a question to the facts that the rules look at."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kernel.model.address import Address
from kernel.model.questions import AdmissionAnswer, Place, RelayQuestion
from kernel.srs import seal
from services.auth.core.directory import SHARED, Domain, Entry, Undelivered, User
from services.auth.core.grants import Grant, Granting
from services.auth.core.lan import Networks
from services.auth.core.listener import DEFAULTS
from services.auth.core.lists import AddressList
from services.auth.core.policies import Policies
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


def facts(policies=POLICIES, grants=(), **asked):
    known = {
        "listener": "mx",
        "client": STRANGER,
        "helo": "client.test",
        "sender": EVE,
        "recipient": BOB,
    }
    held = {STRANGER: tuple(grants)}
    return policies.facts(RelayQuestion(**{**known, **asked}), ENTRIES, USERS, held, NOON)


def test_recipients_are_placed():
    assert facts(recipient=ANN).place is Place.MAILBOX
    assert facts(recipient=BOB).place is Place.REMOTE

    nobody = facts(recipient=Address("nobody", "ours.test"))
    assert (nobody.place, nobody.undelivered) == (Place.UNKNOWN, Undelivered.REPORT)


def test_a_sender_that_we_have_sealed_is_somebody_else():
    """It comes back from a forwarder that seals none itself, and nobody spoofs us."""
    policies = replace(POLICIES, return_key=b"nobody knows this one")
    ours, forged = (seal(EVE, "ours.test", key, NOON) for key in (policies.return_key, b"guessed"))

    assert facts(policies, sender=ANN).sender_is_local
    assert facts(policies, sender=forged).sender_is_local
    assert not facts(policies, sender=ours).sender_is_local


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


def counting(**settings):
    """Policies whose listener counts grants."""
    listener = replace(DEFAULTS["mx"], collection_grants=True)
    return replace(POLICIES, listeners={"mx": listener}, **settings)


LATER = NOON + timedelta(minutes=5)
ANNS = Grant("ann", NOON + timedelta(seconds=1))


def test_a_fresh_grant_brings_its_users_rights():
    seen = facts(counting(), [ANNS], sender=ANN)

    assert seen.grant == Standing("ann", may_relay=True, owns_sender=True)
    assert not facts(counting(), [ANNS], sender=EVE).grant.owns_sender
    assert facts(counting(), [ANNS], client="198.51.100.1").grant == NOBODY


@pytest.mark.parametrize(
    "grant", [Grant("ann", NOON), Grant("off", LATER)], ids=["old", "disabled"]
)
def test_a_grant_ends_with_its_time_or_its_user(grant):
    assert facts(counting(), [grant], sender=ANN).grant == NOBODY


def test_behind_one_address_the_grant_of_the_sender_counts():
    users = USERS | {"eve": User("eve", EVE)}
    question = RelayQuestion("mx", STRANGER, "client.test", ANN, BOB)
    held = {STRANGER: (Grant("eve", LATER), Grant("ann", LATER))}
    policies = counting()

    assert policies.grant_keys([question]) == {STRANGER}
    assert policies.logins(question, held, NOON) == ("eve", "ann")
    assert policies.facts(question, ENTRIES, users, held, NOON).grant.login == "ann"


def test_of_several_who_may_all_send_so_one_who_may_relay_counts():
    users = {"weak": User("weak", EVE, may_relay=False), "ann": User("ann", ANN)}
    question = RelayQuestion("mx", STRANGER, "client.test", None, BOB)
    held = {STRANGER: (Grant("weak", LATER), Grant("ann", LATER))}

    assert counting().facts(question, ENTRIES, users, held, NOON).grant.login == "ann"


def test_where_any_sender_will_do_the_grant_of_who_may_relay_counts():
    users = {"ann": User("ann", ANN, may_relay=False), "eve": User("eve", EVE)}
    question = RelayQuestion("mx", STRANGER, "client.test", ANN, BOB)
    held = {STRANGER: (Grant("ann", LATER), Grant("eve", LATER))}
    listener = replace(DEFAULTS["mx"], collection_grants=True, own_addresses_only=False)
    policies = replace(POLICIES, listeners={"mx": listener})

    assert policies.facts(question, ENTRIES, users, held, NOON).grant.login == "eve"


def test_no_grant_is_looked_up_where_none_counts():
    question = RelayQuestion("mx", STRANGER, "client.test", ANN, BOB)
    elsewhere = [
        replace(question, listener="nothing"),
        replace(question, login="ann"),
        replace(question, client="nonsense"),
        replace(question, client="127.0.0.1"),
    ]

    assert POLICIES.grant_keys([question]) == frozenset()
    assert counting().grant_keys(elsewhere) == frozenset()


def test_a_grant_from_where_many_come_counts_for_nobody():
    proxied = counting(granting=Granting(never=Networks.of([STRANGER])))

    assert proxied.grant_keys([RelayQuestion("mx", STRANGER, "", ANN, BOB)]) == frozenset()
    assert facts(proxied, [ANNS], sender=ANN).grant == NOBODY


@pytest.mark.parametrize(
    ("listener", "client", "answer"),
    [
        ("mx", STRANGER, AdmissionAnswer(admitted=True)),
        ("mx", "192.168.1.7", AdmissionAnswer(admitted=True, in_lan=True)),
        ("inside", STRANGER, AdmissionAnswer(admitted=False)),
        ("inside", "192.168.1.7", AdmissionAnswer(admitted=True, in_lan=True)),
        ("inside", "nonsense", AdmissionAnswer(admitted=False)),
        ("nobody", "192.168.1.7", AdmissionAnswer(admitted=False, in_lan=True)),
    ],
)
def test_a_listener_admits_whom_its_access_names(listener, client, answer):
    listeners = {
        "mx": DEFAULTS["mx"],
        "inside": replace(DEFAULTS["mx"], access=("lan",)),
        "nobody": replace(DEFAULTS["mx"], access=()),
    }

    assert replace(POLICIES, listeners=listeners).admission(listener, client) == answer
