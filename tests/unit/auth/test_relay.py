"""The relay decision: one example for each rule, their order, and the promise behind them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.questions import Place
from services.auth.core.directory import Undelivered
from services.auth.core.listener import DEFAULTS, ListenerSettings, RequireAuth
from services.auth.core.relay import NOBODY, RULES, Facts, Standing, decide, explain

MX = DEFAULTS["mx"]
SUBMISSION = DEFAULTS["submission"]


def facts(listener=MX, place=Place.REMOTE, **known):
    return Facts(listener, place, **known)


def ann(**known):
    return {"user": Standing(**{"login": "ann", "may_relay": True, "owns_sender": True} | known)}


def granted(**known):
    return {"grant": Standing(**{"login": "ann", "may_relay": True, "owns_sender": True} | known)}


GRANTING = replace(MX, collection_grants=True)
OPEN = replace(MX, relay_outside_lan=True)
TO_RELAY = replace(MX, require_auth=RequireAuth.TO_RELAY)
LOCAL_ONLY = replace(MX, relay_nonlocal_senders=False)


@pytest.mark.parametrize(
    ("seen", "rule", "code"),
    [
        (facts(admitted=False), "no-access", 550),
        (facts(blacklisted=True, place=Place.MAILBOX), "blocked-address", 550),
        (facts(blacklisted=True, whitelisted=True, place=Place.MAILBOX), "local", 250),
        (facts(sender_is_local=True, place=Place.MAILBOX), "local-sender-spoof", 550),
        (facts(sender_is_local=True, in_lan=True), "lan", 250),
        (facts(sender_is_local=True, **ann()), "authenticated", 250),
        (facts(helo_is_spoofed=True, place=Place.MAILBOX), "local-helo-spoof", 550),
        (facts(SUBMISSION, place=Place.MAILBOX, in_lan=True), "auth-required", 530),
        (facts(SUBMISSION, **ann(owns_sender=False)), "not-your-address", 553),
        (
            facts(replace(SUBMISSION, own_addresses_only=False), **ann(owns_sender=False)),
            "authenticated",
            250,
        ),
        (facts(place=Place.MAILBOX), "local", 250),
        (facts(place=Place.ALIAS), "local", 250),
        (facts(place=Place.UNKNOWN), "no-such-user", 550),
        (facts(place=Place.UNKNOWN, undelivered=Undelivered.REPORT), "local", 250),
        (facts(place=Place.UNKNOWN, undelivered=Undelivered.MAILBOX), "no-such-user", 550),
        (facts(always_relay_recipient=True), "always-relay-recipient", 250),
        (facts(always_relay_sender=True), "always-relay-sender", 250),
        (facts(SUBMISSION, **ann()), "authenticated", 250),
        (facts(SUBMISSION, **ann(may_relay=False)), "no-relay-privilege", 550),
        (facts(in_lan=True, **ann(may_relay=False)), "no-relay-privilege", 550),
        (facts(GRANTING, sender_is_local=True, **granted()), "collection-grant", 250),
        (facts(GRANTING, **granted(owns_sender=False)), "not-your-address", 553),
        (facts(GRANTING, in_lan=True, **granted(owns_sender=False)), "lan", 250),
        (facts(GRANTING, **granted(may_relay=False)), "relay-denied", 550),
        (facts(MX, **granted()), "relay-denied", 550),
        (facts(TO_RELAY, in_lan=True), "auth-required-to-relay", 530),
        (facts(TO_RELAY, place=Place.MAILBOX), "local", 250),
        (facts(LOCAL_ONLY, in_lan=True), "nonlocal-sender", 550),
        (facts(LOCAL_ONLY, in_lan=True, sender_is_local=True), "lan", 250),
        (facts(in_lan=True), "lan", 250),
        (facts(certified=True), "certificate", 250),
        (facts(certified=True, in_lan=True), "lan", 250),
        (facts(TO_RELAY, certified=True), "auth-required-to-relay", 530),
        (facts(SUBMISSION, certified=True), "auth-required", 530),
        (facts(LOCAL_ONLY, certified=True), "nonlocal-sender", 550),
        (facts(sender_is_local=True, helo_is_spoofed=True, certified=True), "certificate", 250),
        (facts(GRANTING, certified=True, **granted(owns_sender=False)), "certificate", 250),
        (facts(blacklisted=True, certified=True), "blocked-address", 550),
        (facts(OPEN), "open-relay", 250),
        (facts(), "relay-denied", 550),
    ],
)
def test_the_first_rule_that_speaks_decides(seen, rule, code):
    decision = decide(seen)

    assert (decision.rule, decision.reply.code) == (rule, code)


def test_mail_counts_under_the_login_or_under_the_grant_that_was_used():
    assert decide(facts(SUBMISSION, **ann())).submitter == "ann"
    assert decide(facts(GRANTING, **granted())).submitter == "ann"
    assert decide(facts(GRANTING, in_lan=True)).submitter == ""


def test_a_grant_keeps_its_user_from_looking_like_a_spoofer_but_nobody_else():
    assert decide(facts(GRANTING, sender_is_local=True, **granted())).rule == "collection-grant"

    someone_else = granted(owns_sender=False)
    spoof = facts(GRANTING, sender_is_local=True, **someone_else)
    assert decide(spoof).rule == "local-sender-spoof"


def test_replies_to_peers_give_no_reason_away():
    blocked = decide(facts(blacklisted=True))
    spoofed = decide(facts(sender_is_local=True))

    assert blocked.reply == spoofed.reply


def test_an_explanation_holds_every_rule_in_order_and_agrees_with_the_decision():
    seen = facts(OPEN, in_lan=True)

    said = explain(seen)

    assert [name for name, _ in said] == [*(name for name, _ in RULES), "relay-denied"]
    assert next(decision for _, decision in said if decision) == decide(seen)


flags = st.booleans()
settings = st.builds(
    ListenerSettings,
    require_auth=st.sampled_from(RequireAuth),
    own_addresses_only=flags,
    collection_grants=flags,
    relay_outside_lan=flags,
    relay_nonlocal_senders=flags,
    reject_local_sender_spoof=flags,
    reject_local_helo_spoof=flags,
)
anything = st.builds(
    Facts,
    listener=settings,
    place=st.sampled_from(Place),
    undelivered=st.sampled_from(Undelivered),
    **dict.fromkeys(
        (
            "admitted",
            "blacklisted",
            "whitelisted",
            "in_lan",
            "certified",
            "sender_is_local",
            "helo_is_spoofed",
            "always_relay_sender",
            "always_relay_recipient",
        ),
        flags,
    ),
    user=st.just(NOBODY) | st.builds(Standing, st.just("ann"), flags, flags),
    grant=st.just(NOBODY) | st.builds(Standing, st.just("bob"), flags, flags),
)


@given(anything)
def test_nobody_relays_without_lan_login_grant_always_relay_or_open_relay(seen):
    relayed = decide(seen).reply.is_positive and seen.place is Place.REMOTE
    covered = seen.grant.owns_sender or not seen.listener.own_addresses_only

    assert not relayed or (
        seen.in_lan
        or seen.certified
        or seen.user.may_relay
        or (seen.listener.collection_grants and seen.grant.may_relay and covered)
        or seen.always_relay_sender
        or seen.always_relay_recipient
        or seen.listener.relay_outside_lan
    )


@given(anything)
def test_every_decision_is_for_good_or_positive_never_an_empty_promise(seen):
    decision = decide(seen)

    assert decision.reply.is_positive or decision.reply.is_permanent
    assert decision.rule
    assert (
        not decision.reply.is_positive
        or seen.place is not Place.UNKNOWN
        or (seen.undelivered is Undelivered.REPORT)
    )


@given(anything)
def test_mail_never_counts_under_somebody_who_is_not_there(seen):
    assert decide(seen).submitter in ("", seen.user.login, seen.grant.login)
