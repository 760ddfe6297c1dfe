"""Aliases are followed to their ends: bounded, without cycles, and nobody is lost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.questions import Place, Whereabouts
from services.router.core.expand import (
    MAX_DEPTH,
    MAX_MEMBERS,
    Ending,
    Expansion,
    Replacement,
    Unknown,
    expand,
)
from tests.support.mail import ANN, BOB, CAT, EVE

ALL = Address("all", "ours.test")
SOME = Address("some", "ours.test")
TAGGED = Address("ann+news", "ours.test")


def at(address, place, *targets):
    return {address: Whereabouts(address, place, targets)}


def mailbox(address, name=None):
    return at(address, Place.MAILBOX, name or address)


def alias(address, *targets):
    return at(address, Place.ALIAS, *targets)


def remote(address):
    return at(address, Place.REMOTE)


def to(*addresses):
    return tuple(Recipient(address) for address in addresses)


def ends(expansion):
    return [(e.recipient.address, e.place) for e in expansion.endings]


def test_a_mailbox_and_a_remote_address_are_their_own_ends():
    expansion = expand(to(ANN, BOB), mailbox(ANN) | remote(BOB))

    assert expansion == Expansion(
        (Ending(Recipient(ANN), Place.MAILBOX), Ending(Recipient(BOB), Place.REMOTE))
    )


def test_what_is_not_known_must_be_asked_first():
    assert expand(to(ANN, BOB, CAT), remote(BOB)) == Unknown((ANN, CAT))


def test_the_members_of_an_alias_are_asked_for_once_it_is_known():
    assert expand(to(ALL), alias(ALL, ANN, BOB)) == Unknown((ANN, BOB))


def test_the_members_of_an_alias_receive_in_its_stead():
    expansion = expand(to(ALL), alias(ALL, ANN, BOB) | mailbox(ANN) | remote(BOB))

    assert ends(expansion) == [(ANN, Place.MAILBOX), (BOB, Place.REMOTE)]
    assert expansion.replacements == (Replacement(ALL, (ANN, BOB)),)


def test_what_an_alias_leads_out_to_is_forwarded():
    expansion = expand(
        to(ALL, CAT), alias(ALL, ANN, BOB) | mailbox(ANN) | remote(BOB) | remote(CAT)
    )

    forwarded = {e.recipient.address for e in expansion.endings if e.forwarded}
    assert forwarded == {BOB}


def test_who_is_named_by_the_sender_as_well_is_not_forwarded():
    expansion = expand(to(ALL, BOB), alias(ALL, BOB) | remote(BOB))

    assert expansion.endings == (Ending(Recipient(BOB), Place.REMOTE),)


def test_a_mailbox_of_another_name_receives_in_its_address_s_stead():
    expansion = expand(to(TAGGED), mailbox(TAGGED, ANN))

    assert ends(expansion) == [(ANN, Place.MAILBOX)]
    assert expansion.replacements == (Replacement(TAGGED, (ANN,)),)


def test_two_ways_to_one_mailbox_make_one_copy():
    known = alias(ALL, ANN, TAGGED) | mailbox(ANN) | mailbox(TAGGED, ANN)

    assert ends(expand(to(ALL, ANN, TAGGED), known)) == [(ANN, Place.MAILBOX)]


def test_who_is_addressed_directly_too_is_not_replaced():
    known = alias(ALL, ANN) | mailbox(ANN)

    assert expand(to(ANN, ALL), known).replacements == (Replacement(ALL, (ANN,)),)


def test_an_alias_of_aliases_is_followed_to_the_end():
    known = alias(ALL, SOME, CAT) | alias(SOME, ANN) | mailbox(ANN) | remote(CAT)

    assert ends(expand(to(ALL), known)) == [(CAT, Place.REMOTE), (ANN, Place.MAILBOX)]


def test_an_alias_that_leads_only_to_itself_ends_as_an_alias():
    known = alias(ALL, SOME) | alias(SOME, ALL)

    expansion = expand(to(ALL), known)

    assert ends(expansion) == [(ALL, Place.ALIAS)]
    assert expansion.replacements == ()


def test_an_alias_for_nobody_ends_as_an_alias():
    assert ends(expand(to(ALL), alias(ALL))) == [(ALL, Place.ALIAS)]


def test_a_way_back_is_no_trouble_where_another_leads_on():
    known = alias(ALL, SOME) | alias(SOME, ALL, ANN) | mailbox(ANN)

    assert ends(expand(to(ALL), known)) == [(ANN, Place.MAILBOX)]


def test_a_loop_among_the_members_of_an_alias_is_told_once():
    other = Address("other", "ours.test")
    known = alias(ALL, ANN, SOME) | alias(SOME, other) | alias(other, SOME) | mailbox(ANN)

    assert ends(expand(to(ALL), known)) == [(ANN, Place.MAILBOX), (SOME, Place.ALIAS)]


def chain(length):
    links = [Address(f"a{n}", "ours.test") for n in range(length)]
    known = mailbox(ANN) | alias(links[-1], ANN)
    for link, following in itertools.pairwise(links):
        known |= alias(link, following)
    return links, known


def test_a_chain_as_deep_as_may_be_is_followed():
    links, known = chain(MAX_DEPTH)

    assert ends(expand(to(links[0]), known)) == [(ANN, Place.MAILBOX)]


def test_a_chain_that_is_too_deep_is_told_where_it_was_left():
    links, known = chain(MAX_DEPTH + 1)

    assert ends(expand(to(links[0]), known)) == [(links[-1], Place.ALIAS)]


def test_an_alias_of_too_many_is_not_followed_at_all():
    members = [Address(f"m{n}", "elsewhere.test") for n in range(MAX_MEMBERS + 1)]

    assert ends(expand(to(ALL), alias(ALL, *members))) == [(ALL, Place.ALIAS)]


def test_a_member_carries_the_address_that_was_asked_for():
    expansion = expand(to(ALL), alias(ALL, BOB) | remote(BOB))

    assert expansion.endings[0].recipient == Recipient(BOB, "rfc822;all@ours.test")


def test_an_original_recipient_stays_the_original_one():
    asked = Recipient(ALL, "rfc822;list@far.test", ("FAILURE", "DELAY"))

    expansion = expand((asked,), alias(ALL, BOB) | remote(BOB))

    assert expansion.endings[0].recipient == Recipient(BOB, asked.orcpt, asked.notify)


def test_an_original_recipient_is_spelt_in_xtext():
    plus = Address("a+b=c", "ours.test")
    umlaut = Address("jürgen", "ours.test")

    expansion = expand(
        to(plus, umlaut), alias(plus, BOB) | alias(umlaut, CAT) | remote(BOB) | remote(CAT)
    )

    assert [e.recipient.orcpt for e in expansion.endings] == [
        "rfc822;a+2Bb+3Dc@ours.test",
        "utf-8;j\\x{FC}rgen@ours.test",
    ]


def test_who_wants_to_hear_of_failures_outdoes_who_does_not():
    silent = Recipient(ANN, notify=("NEVER",))

    expansion = expand((silent, Recipient(TAGGED)), mailbox(ANN) | mailbox(TAGGED, ANN))

    told = Recipient(ANN, orcpt="rfc822;ann+2Bnews@ours.test")
    assert expansion.endings == (Ending(told, Place.MAILBOX),)


PEOPLE = [Address(f"p{n}", "ours.test") for n in range(8)] + [BOB, EVE]


@st.composite
def directories(draw):
    known = {}
    for person in PEOPLE:
        place = draw(st.sampled_from(Place))
        targets = ()
        if place is Place.ALIAS:
            targets = tuple(draw(st.lists(st.sampled_from(PEOPLE), max_size=4)))
        elif place is Place.MAILBOX:
            targets = (person,)
        known[person] = Whereabouts(person, place, targets)
    return known


def reachable(start, known):
    found, waiting = set(), [start]
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            if known[address].place is Place.ALIAS:
                waiting.extend(known[address].targets)
    return found


@given(directories(), st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6))
def test_no_recipient_is_lost_or_doubled(known, addresses):
    expansion = expand(to(*addresses), known)

    ended = [e.recipient.address for e in expansion.endings]
    assert len(ended) == len(set(ended))
    for address in addresses:
        reached = reachable(address, known)
        assert reached & set(ended)
        assert {a for a in reached if known[a].place is not Place.ALIAS} <= set(ended)
    everybody = set().union(*(reachable(a, known) for a in addresses))
    assert set(ended) <= everybody


@given(directories(), st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6))
def test_asking_for_what_is_unknown_always_comes_to_an_end(known, addresses):
    told = {}
    for _ in range(MAX_DEPTH + 2):
        answer = expand(to(*addresses), told)
        if not isinstance(answer, Unknown):
            break
        assert not set(answer.addresses) & set(told)
        told |= {address: known[address] for address in answer.addresses}

    assert answer == expand(to(*addresses), known)


@given(directories(), st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6, unique=True))
def test_every_recipient_is_an_end_or_replaced(known, addresses):
    expansion = expand(to(*addresses), known)

    ended = {e.recipient.address for e in expansion.endings}
    replaced = {r.recipient for r in expansion.replacements}
    assert not ended & replaced
    assert set(addresses) <= ended | replaced


def wishing(address, *notify):
    return (Recipient(address, notify=notify),)


@pytest.mark.parametrize(
    ("notify", "members_notify", "told"),
    [
        ((), (), False),
        (("NEVER",), ("NEVER",), False),
        (("FAILURE", "DELAY"), ("FAILURE", "DELAY"), False),
        (("SUCCESS", "FAILURE"), ("FAILURE",), True),
        (("SUCCESS",), ("NEVER",), True),
    ],
)
def test_of_an_alias_for_several_its_sender_hears_that_it_was_expanded(
    notify, members_notify, told
):
    known = alias(ALL, ANN, BOB) | mailbox(ANN) | remote(BOB)

    expansion = expand(wishing(ALL, *notify), known)

    assert {e.recipient.notify for e in expansion.endings} == {members_notify}
    assert expansion.spread == (wishing(ALL, *notify) if told else ())


def test_an_alias_for_one_passes_all_wishes_on():
    expansion = expand(wishing(ALL, "SUCCESS"), alias(ALL, BOB) | remote(BOB))

    assert expansion.endings[0].recipient.notify == ("SUCCESS",)
    assert expansion.spread == ()


def test_of_an_alias_behind_an_alias_the_sender_hears_under_the_name_that_it_used():
    known = alias(ALL, SOME) | alias(SOME, ANN, BOB) | mailbox(ANN) | remote(BOB)

    assert expand(wishing(ALL, "SUCCESS"), known).spread == wishing(ALL, "SUCCESS")


def test_an_alias_that_leads_nowhere_was_not_expanded():
    known = alias(ALL, SOME, CAT) | alias(SOME, ALL) | alias(CAT, ALL)

    expansion = expand(wishing(ALL, "SUCCESS"), known)

    assert ends(expansion) == [(ALL, Place.ALIAS)]
    assert expansion.spread == ()
