"""Where addresses lead, and whose they are."""

import pytest

from kernel.model.address import Address
from kernel.model.questions import Place, Whereabouts
from services.auth.core.directory import (
    SHARED,
    Domain,
    Entry,
    Undelivered,
    User,
    keys_for,
    owns,
    resolve,
)
from tests.support.mail import ANN, BOB

ADMIN = Address("admin", "ours.test")
CATCH_ALL = Address("rest", "ours.test")
OWN = Address("ann", "own.test")

DOMAINS = {
    domain.name: domain
    for domain in (
        Domain("ours.test", primary=True),
        Domain("equal.test"),
        Domain("own.test", own_users=True),
        Domain(
            "catch.test",
            own_users=True,
            undelivered=Undelivered.MAILBOX,
            undelivered_mailbox=CATCH_ALL,
        ),
    )
}
ENTRIES = {
    (SHARED, "ann"): Entry("ann", ANN),
    (SHARED, "admin"): Entry("admin", ADMIN),
    (SHARED, "rest"): Entry("rest", CATCH_ALL),
    (SHARED, "postmaster"): Entry(targets=(ADMIN,)),
    (SHARED, "sales"): Entry(targets=(ANN, BOB)),
    (SHARED, "ann+vip"): Entry(targets=(ADMIN,)),
    ("own.test", "ann"): Entry("other-ann", OWN),
}


@pytest.mark.parametrize(
    ("text", "place", "targets"),
    [
        ("ann@ours.test", Place.MAILBOX, (ANN,)),
        ("ANN@ours.test", Place.MAILBOX, (ANN,)),
        ("ann+lists@ours.test", Place.MAILBOX, (ANN,)),
        ("ann+vip@ours.test", Place.ALIAS, (ADMIN,)),
        ("ann@equal.test", Place.MAILBOX, (ANN,)),
        ("sales@ours.test", Place.ALIAS, (ANN, BOB)),
        ("sales+x@equal.test", Place.ALIAS, (ANN, BOB)),
        ("ann@own.test", Place.MAILBOX, (OWN,)),
        ("sales@own.test", Place.UNKNOWN, ()),
        ("postmaster@ours.test", Place.ALIAS, (ADMIN,)),
        ("Postmaster@own.test", Place.ALIAS, (ADMIN,)),
        ("postmaster@catch.test", Place.ALIAS, (ADMIN,)),
        ("anybody@catch.test", Place.MAILBOX, (CATCH_ALL,)),
        ("nobody@ours.test", Place.UNKNOWN, ()),
        ("+ann@ours.test", Place.UNKNOWN, ()),
        ("bob%elsewhere.test@ours.test", Place.UNKNOWN, ()),
        ('"bob@elsewhere.test"@ours.test', Place.UNKNOWN, ()),
    ],
)
def test_an_address_of_ours_leads_somewhere(text, place, targets):
    address = Address.parse(text)

    found = resolve(address, DOMAINS, ENTRIES)

    assert found == Whereabouts(address, place, targets)


SEALED = Address("SRS0=AAAAAAAA=AA=elsewhere.test=bob", "ours.test")


def test_a_sender_that_we_have_sealed_leads_to_whom_it_was_made_for():
    assert resolve(SEALED, DOMAINS, ENTRIES, BOB) == Whereabouts(SEALED, Place.ALIAS, (BOB,))


@pytest.mark.parametrize("domain", ["ours.test", "catch.test"])
def test_one_that_only_looks_so_is_nobodys(domain):
    address = Address(SEALED.local, domain)

    assert resolve(address, DOMAINS, ENTRIES) == Whereabouts(address, Place.UNKNOWN)


def test_a_mailbox_of_that_very_name_comes_first():
    entries = ENTRIES | {(SHARED, SEALED.local.lower()): Entry("ann", ANN)}

    assert resolve(SEALED, DOMAINS, entries, BOB).targets == (ANN,)


@pytest.mark.parametrize("text", ["bob@elsewhere.test", "bob@sub.ours.test", "bob@[192.0.2.1]"])
def test_the_rest_of_the_world_is_remote_as_a_whole(text):
    found = resolve(Address.parse(text), DOMAINS, ENTRIES)

    assert (found.place, found.whole_domain) == (Place.REMOTE, True)


def test_a_catch_all_whose_mailbox_is_gone_catches_nothing():
    entries = {key: entry for key, entry in ENTRIES.items() if key != (SHARED, "rest")}

    found = resolve(Address("anybody", "catch.test"), DOMAINS, entries)

    assert found.place is Place.UNKNOWN


def test_what_has_to_be_looked_up_is_known_before():
    address = Address("Ann+x", "catch.test")

    assert keys_for(address, DOMAINS) == (
        ("catch.test", "ann+x"),
        ("catch.test", "ann"),
        (SHARED, "rest"),
    )
    assert keys_for(BOB, DOMAINS) == ()


USER = User("ann", ANN, send_as=("*@newsletter.test",))
REST = User("rest", CATCH_ALL)


@pytest.mark.parametrize(
    ("user", "sender", "hers"),
    [
        (USER, "ann@ours.test", True),
        (USER, "ann+lists@ours.test", True),
        (USER, "ann@equal.test", True),
        (USER, "ann@own.test", False),
        (USER, "admin@ours.test", False),
        (USER, "nobody@ours.test", False),
        (USER, "bob@elsewhere.test", False),
        (USER, "issue-7@newsletter.test", True),
        (USER, "sales@ours.test", False),
        (User("admin", ADMIN), "postmaster@ours.test", True),
        (User("admin", ADMIN), "postmaster@own.test", True),
        (REST, "anybody@catch.test", False),
    ],
)
def test_a_user_owns_the_mailbox_and_aliases_for_it_alone(user, sender, hers):
    assert owns(user, Address.parse(sender), DOMAINS, ENTRIES) is hers


def test_everybody_may_send_reports():
    assert owns(USER, None, DOMAINS, ENTRIES)


def test_a_user_does_not_show_the_password():
    assert "argon2" not in repr(User("ann", ANN, "$argon2id$..."))
