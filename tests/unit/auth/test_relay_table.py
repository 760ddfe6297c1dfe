"""Every row of ``relay_table.txt`` goes the way of a real question.

From the settings below to the facts, and from the facts to the decision.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from kernel.model.address import Address
from kernel.model.questions import RelayQuestion
from services.auth.core.directory import SHARED, Domain, Entry, Undelivered, User
from services.auth.core.grants import Grant, Granting
from services.auth.core.lan import Networks
from services.auth.core.listener import DEFAULTS, RequireAuth
from services.auth.core.lists import AddressList
from services.auth.core.policies import Policies
from services.auth.core.relay import RULES, decide
from tests.support.mail import NOON

MX, SUBMISSION = DEFAULTS["mx"], DEFAULTS["submission"]
CERTIFICATE = "sha256:" + 32 * "c0"
OTHER = "sha256:" + 32 * "00"
GRANTING = replace(MX, collection_grants=True)
TO_RELAY = replace(MX, require_auth=RequireAuth.TO_RELAY)
LISTENERS = {
    "mx": MX,
    "submission": SUBMISSION,
    "submissions": DEFAULTS["submissions"],
    "any-sender": replace(SUBMISSION, own_addresses_only=False),
    "granting": GRANTING,
    "granting-any-sender": replace(GRANTING, own_addresses_only=False),
    "granting-to-relay": replace(TO_RELAY, collection_grants=True),
    "granting-always": replace(SUBMISSION, collection_grants=True),
    "to-relay": TO_RELAY,
    "local-senders": replace(MX, relay_nonlocal_senders=False),
    "open": replace(MX, relay_outside_lan=True),
    "open-to-local-senders": replace(MX, relay_outside_lan=True, relay_nonlocal_senders=False),
    "backup": replace(MX, always_relay_recipients=("backup.test", "*.backup.test")),
    "partner": replace(MX, always_relay_senders=("news@partner.test",)),
    "trusting": replace(MX, reject_local_sender_spoof=False, reject_local_helo_spoof=False),
    "certified": replace(MX, client_certificates=True, trusted_certificates=(CERTIFICATE,)),
    "uncertified": replace(MX, trusted_certificates=(CERTIFICATE,)),
    "for-lan": replace(MX, access=("lan",)),
    "for-nobody": replace(MX, access=()),
    "not-for-them": replace(MX, access=("any", "!203.0.113.0/24")),
}
CLIENTS = {
    "stranger": "203.0.113.9",
    "lan": "192.168.1.7",
    "lan-in-ipv6": "::ffff:192.168.1.7",
    "popper": "198.51.100.1",
    "weak-popper": "198.51.100.2",
    "late-popper": "198.51.100.3",
    "off-popper": "198.51.100.4",
    "lan-popper": "192.168.1.8",
    "proxy": "172.18.0.1",
    "banned": "198.51.100.66",
    "pardoned": "198.51.100.67",
    "itself": "127.0.0.1",
    "nonsense": "unknown",
    "holder": "203.0.113.9",
    "other-holder": "203.0.113.9",
}
LATER = NOON + timedelta(minutes=5)
GRANTS = {
    "198.51.100.1": (Grant("rex", LATER), Grant("ann", LATER)),
    "198.51.100.2": (Grant("rex", LATER),),
    "198.51.100.3": (Grant("ann", NOON),),
    "198.51.100.4": (Grant("off", LATER),),
    "192.168.1.8": (Grant("ann", LATER),),
    "172.18.0.1": (Grant("ann", LATER),),
}
POLICIES = Policies(
    hostname="mx.ours.test",
    domains={
        domain.name: domain
        for domain in (
            Domain("ours.test", primary=True),
            Domain("alias.test"),
            Domain("own.test", own_users=True),
            Domain("report.test", undelivered=Undelivered.REPORT),
            Domain("catch.test", undelivered=Undelivered.MAILBOX, undelivered_mailbox=None),
            Domain("rest.test", True, True, Undelivered.MAILBOX, Address("ann", "ours.test")),  # noqa: FBT003 - a domain in a table
            Domain("mx.ours.test"),
            Domain("[192.0.2.25]"),
        )
    },
    lan=Networks.of(["192.168.1.*", "172.18.0.0/16", "!172.18.0.1"]),
    listeners=LISTENERS,
    black=AddressList.of(
        [("client", "198.51.100.64/26"), ("sender", "spam.test"), ("recipient", "trap@ours.test")]
    ),
    white=AddressList.of(
        [
            ("client", "198.51.100.67"),
            ("sender", "nice@spam.test"),
            ("recipient", "postmaster@ours.test"),
        ]
    ),
    granting=Granting(never=Networks.of(["172.18.0.1"])),
)
USERS = {
    user.login: user
    for user in (
        User("ann", Address("ann", "ours.test")),
        User("rex", Address("rex", "ours.test"), may_relay=False),
        User("off", Address("off", "ours.test"), disabled=True),
        User("pat", Address("pat", "ours.test"), send_as=("*@partner.test",)),
        User("star", Address("star", "ours.test"), send_as=("*",)),
    )
}
ENTRIES = {(SHARED, user.login): Entry(user.login, user.address) for user in USERS.values()} | {
    (SHARED, "postmaster"): Entry(targets=(Address("ann", "ours.test"),)),
    (SHARED, "trap"): Entry(targets=(Address("ann", "ours.test"),)),
    (SHARED, "sales"): Entry(targets=(Address("ann", "ours.test"), Address("pat", "ours.test"))),
    (SHARED, "boss"): Entry(targets=(Address("ann", "ours.test"),)),
    (SHARED, "away"): Entry(targets=(Address("ann", "far.test"),)),
}

ROWS = [
    line
    for line in Path(__file__).with_name("relay_table.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def decided(listener, client, login, sender, recipient):
    who, _, helo = client.partition(":")
    question = RelayQuestion(
        listener,
        CLIENTS[who],
        helo,
        None if sender == "<>" else Address.parse(sender),
        Address.parse(recipient),
        "" if login == "-" else login,
        certificate={"holder": CERTIFICATE, "other-holder": OTHER}.get(who, ""),
    )
    return decide(POLICIES.facts(question, ENTRIES, USERS, GRANTS, NOON))


@pytest.mark.parametrize("row", ROWS)
def test_the_rule_that_speaks(row):
    *asked, rule, code, submitter = f"{row} -".split()[:8]

    decision = decided(*asked)

    said = (decision.rule, str(decision.reply.code), decision.submitter or "-")
    assert said == (rule, code, submitter)


def test_every_rule_has_its_row():
    spoken = {row.split()[5] for row in ROWS}

    assert spoken == {name for name, _ in RULES} | {
        "no-such-user",
        "no-relay-privilege",
        "relay-denied",
    }
