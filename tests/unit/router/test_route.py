"""One leg for each next hop."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.events import Local, Nowhere, Remote
from kernel.model.questions import Place
from services.router.core.expand import Ending
from services.router.core.route import LEADS_NOWHERE, NO_SUCH_USER, route
from tests.support.mail import ANN, BOB, CAT, EVE, make_envelope, make_leg


def ending(address, place):
    return Ending(Recipient(address), place)


def test_recipients_of_one_domain_share_a_leg():
    legs = route(
        make_envelope(BOB, CAT, EVE),
        [ending(BOB, Place.REMOTE), ending(EVE, Place.REMOTE), ending(CAT, Place.REMOTE)],
    )

    assert legs == (make_leg(BOB, CAT), make_leg(EVE, hop=Remote("stranger.test")))


def test_what_is_forwarded_has_a_leg_of_its_own():
    forwarded = Ending(Recipient(CAT), Place.REMOTE, forwarded=True)

    direct, onward = route(make_envelope(BOB, CAT), [ending(BOB, Place.REMOTE), forwarded])

    assert direct == make_leg(BOB)
    assert onward == make_leg(CAT, hop=Remote("elsewhere.test", forwarded=True))
    assert onward.id.endswith("/forward:elsewhere.test/1")


def test_a_mailbox_is_reached_over_the_local_hop():
    assert route(make_envelope(ANN), [ending(ANN, Place.MAILBOX)]) == (make_leg(ANN, hop=Local()),)


def test_an_unknown_address_of_ours_goes_nowhere():
    assert route(make_envelope(ANN), [ending(ANN, Place.UNKNOWN)]) == (
        make_leg(ANN, hop=Nowhere(NO_SUCH_USER)),
    )


def test_an_alias_that_could_not_be_followed_goes_nowhere():
    assert route(make_envelope(ANN), [ending(ANN, Place.ALIAS)]) == (
        make_leg(ANN, hop=Nowhere(LEADS_NOWHERE)),
    )


def test_a_recipient_keeps_what_its_sender_wants_to_know():
    recipient = Recipient(BOB, "rfc822;robert@elsewhere.test", ("SUCCESS",))

    (leg,) = route(make_envelope(BOB), [Ending(recipient, Place.REMOTE)])

    assert leg.envelope.recipients == (recipient,)


ADDRESSES = st.builds(Address, st.sampled_from("abcdef"), st.sampled_from(["x.test", "y.test"]))
ENDINGS = st.lists(
    st.builds(ending, ADDRESSES, st.sampled_from(Place)), max_size=20, unique_by=lambda e: e
)


@given(ENDINGS)
def test_no_recipient_is_lost_or_doubled_and_no_two_legs_share_an_id(endings):
    legs = route(make_envelope(), endings)

    carried = Counter(r for leg in legs for r in leg.envelope.recipients)
    assert carried == Counter(e.recipient for e in endings)
    assert len({leg.id for leg in legs}) == len(legs)
    assert all(leg.envelope.recipients for leg in legs)
