"""What a session does about clients that guess, do not listen, or speak too early."""

from dataclasses import replace

from kernel.model.questions import AdmissionAnswer, RelayAnswer
from services.ingress.core import effects
from services.ingress.core.speech import BREATH
from tests.unit.ingress.talk import HELLO, LISTENER, UNKNOWN, talk

TO_NOBODY = b"RCPT TO:<nobody@ours.test>\r\n"
HELD_BACK = replace(LISTENER, restricted=True, greet_pause=7, max_recipients=100)


def guess(count, *, stranger=True, **limits):
    """Return a conversation in which ``count`` unknown recipients come in one breath."""
    one = talk(
        HELLO + b"MAIL FROM:<>\r\n", listener=replace(LISTENER, max_recipients=100), **limits
    )
    one.answering = False
    one.send(TO_NOBODY * count)
    answer = RelayAnswer(UNKNOWN, "no-such-user", stranger=stranger)
    before = len(one.codes)
    one.act(one.core.decided([answer] * count))
    return one, one.codes[before:]


def test_a_few_unknown_recipients_are_no_matter():
    one, codes = guess(5, max_unknown=10)

    assert codes == ["550"] * 5
    assert one.pauses == []


def test_after_half_of_them_each_costs_a_second_before_the_answers():
    one, codes = guess(8, max_unknown=10)
    assert codes == []
    assert one.pauses == [3]

    one.act(one.core.resumed())

    assert one.codes[-8:] == ["550"] * 8


def test_at_last_the_session_ends_and_says_which_limit_it_was():
    one, codes = guess(12, max_unknown=10)

    assert codes == ["550"] * 10 + ["421"]
    assert one.core.is_closed
    assert effects.Limited("unknown_recipients") in one.others


def test_who_is_no_stranger_may_be_wrong():
    one, codes = guess(15, max_unknown=10, stranger=False)

    assert codes == ["550"] * 15
    assert one.pauses == []


def test_no_more_is_said_than_a_breath_before_the_client_has_read_it():
    one = talk(HELLO, answering=False)

    one.send(b"HELP\r\n" * 40_000)

    assert one.pauses == [0]
    assert len(one.said) <= BREATH + 1_000


def test_in_the_end_everything_is_answered():
    assert talk(HELLO, b"HELP\r\n" * 5_000).codes.count("214") == 5_000


def held_back():
    one = talk(listener=HELD_BACK, answering=False)
    one.act(one.core.admitted(AdmissionAnswer(admitted=True)))
    return one


def test_a_stranger_waits_for_the_greeting():
    one = held_back()
    assert (one.said, one.pauses) == (b"", [7])

    one.act(one.core.resumed())

    assert one.codes == ["220"]


def test_who_speaks_before_it_is_sent_away():
    assert held_back().send(HELLO).codes == ["554"]


def test_who_spoke_before_being_admitted_is_sent_away_too():
    one = talk(HELLO, listener=HELD_BACK, answering=False)
    one.act(one.core.admitted(AdmissionAnswer(admitted=True)))

    assert one.codes == ["554"]
    assert effects.Limited("greet_pause") in one.others


def test_the_lan_does_not_wait():
    one = talk(HELLO, listener=HELD_BACK, answering=False)
    one.act(one.core.admitted(AdmissionAnswer(admitted=True, in_lan=True)))

    assert one.codes == ["220", "250"]


def test_a_pause_that_ends_after_the_session_changes_nothing():
    one = held_back().send(HELLO)

    assert one.core.resumed() == []
