import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import INLINE_LIMIT, Body
from kernel.model.questions import PlaintextAuth, RelayAnswer, TlsMode
from kernel.model.reply import Reply
from kernel.sasl import MECHANISMS
from services.ingress.core import effects, replies
from services.ingress.core.pressure import NO_ROOM
from tests.support.mail import ANN, BOB
from tests.unit.ingress.talk import ENVELOPE, HELLO, LISTENER, TAKEN, TLS, talk

DATA = b"DATA\r\n"
END = b"\r\n.\r\n"
REPLY = re.compile(rb"(?:[2345]\d\d-[^\r\n]*\r\n)*[2345]\d\d [^\r\n]*\r\n")


def lots(size):
    return b"Subject: big\r\n\r\n" + b"x" * 62 + b"\r\n" * (size // 2)


def test_recipients_that_come_in_one_breath_are_asked_about_together():
    one = talk(HELLO, ENVELOPE + b"RCPT TO:<cat@ours.test>\r\nRCPT TO:<bad\r\nNOOP\r\n")

    assert one.batches == [2]
    assert one.codes[1:] == ["250", "250", "250", "501", "250"]


def test_replies_to_one_breath_go_out_in_one_write():
    one = talk(HELLO, ENVELOPE + DATA, answering=False)

    wanted = one.core.decided([RelayAnswer(TAKEN, "local")])

    [say] = wanted
    assert [line[:3] for line in say.octets.split(b"\r\n")] == [b"250", b"250", b"354", b""]


def test_while_an_answer_is_due_nothing_is_said():
    one = talk(HELLO, answering=False)
    before = one.said

    one.send(ENVELOPE, b"NOOP\r\n")

    assert one.said == before
    assert one.core.is_waiting


def test_an_unreachable_auth_is_never_an_answer():
    one = talk(HELLO, ENVELOPE, answering=False)

    one.act(one.core.decided(None))

    assert one.said.endswith(b"451 4.3.0 Try again later\r\n")


def test_whoever_sends_on_without_waiting_hears_no_refusal_while_auth_is_away():
    one = talk(HELLO, ENVELOPE + DATA, answering=False)

    one.act(one.core.decided(None))

    assert one.codes[-2:] == ["451", "451"]


def test_a_mail_counts_under_who_auth_says_has_sent_it():
    """Not under a login whose user has been disabled since."""
    login = b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
    one = talk(HELLO, login, tls=TLS)

    one.answering = False
    one.send(ENVELOPE)
    one.answering = True
    one.act(one.core.decided([RelayAnswer(TAKEN, "lan")]))
    one.send(DATA, b"Subject: hello", END)

    ((offer, _),) = one.mails
    assert (offer.protocol, offer.submitter) == ("ESMTPSA", "")


def test_a_decision_is_passed_on_as_it_is():
    one = talk(HELLO, b"MAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<nobody@ours.test>\r\n")

    assert one.said.endswith(b"550 5.1.1 No such user here\r\n")
    assert one.others == [
        effects.Refused(
            "mail-1",
            BOB,
            Address("nobody", "ours.test"),
            Reply(550, "5.1.1", "No such user here"),
            "local",
            "",
        )
    ]


def test_an_offer_tells_all_that_the_client_said():
    mail = b"MAIL FROM:<bob@elsewhere.test> BODY=8BITMIME RET=hdrs ENVID=CaseKept\r\n"
    rcpt = b"RCPT TO:<ann@ours.test> NOTIFY=success,Delay ORCPT=rfc822;Ann@Ours.test\r\n"

    [(offer, content)] = talk(HELLO, mail, rcpt, DATA, b"hi\r\n.\r\n").mails

    assert content == b"hi\r\n"
    assert (offer.id, offer.listener, offer.client) == ("mail-1", "mx", "192.0.2.1")
    assert (offer.helo, offer.protocol, offer.sender) == ("client.example", "ESMTP", BOB)
    assert (offer.body, offer.ret, offer.envid) == (Body.EIGHT_BIT, "HDRS", "CaseKept")
    [recipient] = offer.recipients
    assert recipient.address == ANN
    assert recipient.notify == ("SUCCESS", "DELAY")
    assert recipient.orcpt == "rfc822;Ann@Ours.test"
    assert offer.rules == ("local",)


def test_what_must_stay_under_tls_says_so():
    mail = b"MAIL FROM:<bob@elsewhere.test> REQUIRETLS\r\nRCPT TO:<ann@ours.test>\r\n"

    [(offer, _)] = talk(HELLO, mail, DATA, b".\r\n", tls=TLS).mails

    assert offer.requiretls
    assert talk(HELLO, mail).codes[1:] == ["555", "503"]


def test_a_recipient_named_twice_gets_one_copy():
    [(offer, _)] = talk(HELLO, ENVELOPE, b"RCPT TO:<ann@OURS.test>\r\n", DATA, b".\r\n").mails

    assert [recipient.address for recipient in offer.recipients] == [ANN]


def test_after_a_mail_the_transaction_is_over():
    one = talk(HELLO, ENVELOPE, DATA, b".\r\n", DATA)

    assert one.codes[-1] == "503"


def test_no_more_recipients_than_the_listener_allows():
    names = [b"RCPT TO:<%d@ours.test>\r\n" % number for number in range(5)]

    together = talk(HELLO, b"MAIL FROM:<>\r\n" + b"".join(names))
    one_by_one = talk(HELLO, b"MAIL FROM:<>\r\n", *names)

    assert together.said == one_by_one.said
    assert together.codes[2:] == ["250", "250", "250", "452", "452"]


def test_what_a_refused_mail_drew_along_is_no_error():
    one = talk(HELLO, (b"MAIL FROM:<bad>\r\n" + b"RCPT TO:<ann@ours.test>\r\n" * 30 + DATA))

    assert one.codes[1:] == ["501"] + ["503"] * 31
    assert not one.core.is_closed


def test_a_blocked_bus_is_told_at_mail():
    one = talk(HELLO, b"MAIL FROM:<bob@elsewhere.test>\r\n", blocked=True)

    assert one.said.endswith(b"451 4.3.2 Cannot take mail right now, try again later\r\n")


@pytest.mark.parametrize(
    ("command", "afterwards"),
    [(DATA, ["354"]), (b"BDAT 6 LAST\r\nRSET\r\n", ["503"])],
    ids=["DATA may be said again", "without its chunk the mail is none"],
)
def test_room_that_ran_out_after_mail_is_told_before_the_data(command, afterwards):
    answers = iter([NO_ROOM])

    one = talk(HELLO, ENVELOPE, command, at_data=lambda: next(answers, None))
    assert one.said.endswith(b"452 4.3.1 No room for more mail right now, try again later\r\n")
    one.send(command)

    assert one.codes[-1:] == afterwards
    assert one.mails == []
    assert not one.core.is_closed


def test_twenty_errors_are_too_many():
    one = talk(b"NONSENSE\r\n" * 30)

    assert one.codes == ["500"] * 20 + ["421"]
    assert one.core.is_closed
    assert isinstance(one.others[-1], effects.Close)


def test_refused_recipients_do_not_throw_out_who_is_logged_in():
    login = b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
    nobody = b"RCPT TO:<nobody@ours.test>\r\n" * 30

    one = talk(HELLO, login, b"MAIL FROM:<ann@ours.test>\r\n", nobody, tls=TLS)

    assert one.codes[-30:] == ["550"] * 30


def test_commands_after_starttls_are_thrown_away():
    one = talk(HELLO, b"STARTTLS\r\nNOOP\r\nNOOP\r\n", b"NOOP\r\n")

    assert one.codes[1:] == ["220", "250"]


def test_tls_makes_a_new_session():
    one = talk(HELLO, ENVELOPE, b"STARTTLS\r\n", b"DATA\r\nMAIL FROM:<>\r\n")

    assert one.codes[-2:] == ["503", "503"]


@pytest.mark.parametrize("verb", [b"MAIL FROM:<>", b"RCPT TO:<a@b.test>", b"DATA", b"VRFY ann"])
def test_required_tls_comes_first(verb):
    listener = replace(LISTENER, tls=TlsMode.STARTTLS_REQUIRED)

    assert talk(HELLO, verb + b"\r\n", listener=listener).codes[-1] == "530"


def test_a_long_line_costs_no_memory_and_one_error():
    one = talk(b"NOOP " + b"x" * 600 + b"\r\n", *[b"y" * 9_000] * 100, b"\r\nNOOP\r\n")

    assert one.codes == ["500", "500", "250"]


def test_a_large_mail_is_handed_on_as_it_comes():
    one = talk(HELLO, ENVELOPE, DATA)
    first = one.core.receive(lots(INLINE_LIMIT))
    one.act(first)
    assert isinstance(first[0], effects.Open)

    one.send(b"more" + END)

    [(_, content)] = one.mails
    assert content == lots(INLINE_LIMIT) + b"more\r\n"
    assert one.codes[-1] == "250"


def test_a_large_mail_that_turns_bad_is_spilled():
    one = talk(HELLO, ENVELOPE, DATA, lots(INLINE_LIMIT), b"bare\nline" + END)

    assert (one.spilled, one.mails) == (1, [])
    assert one.codes[-1] == "554"


def test_a_mail_that_is_too_big_is_refused_at_its_end():
    one = talk(HELLO, ENVELOPE, DATA, lots(100_000), lots(100_000))
    before = one.said

    one.send(END)

    assert one.said[len(before) :] == replies.TOO_BIG.lines()
    assert one.mails == []


def test_who_has_a_message_on_the_way_may_finish_it():
    one = talk(HELLO, ENVELOPE, DATA, b"Subject: x\r\n")

    one.act(one.core.leave())
    assert not one.core.is_closed
    one.send(END)

    assert one.codes[-2:] == ["250", "421"]
    assert one.core.is_closed


def test_who_has_nothing_on_the_way_is_asked_to_go():
    one = talk(HELLO, ENVELOPE)

    one.act(one.core.leave())

    assert one.codes[-1] == "421"


def test_our_own_error_is_temporary_and_leaves_no_half_transaction():
    one = talk(HELLO, ENVELOPE)

    one.act(one.core.stumble())
    one.send(DATA)

    assert one.codes[-2:] == ["451", "503"]


def test_our_own_error_inside_a_message_ends_the_session():
    one = talk(HELLO, ENVELOPE, DATA, b"Subject: x\r\n")

    one.act(one.core.stumble())

    assert one.codes[-1] == "421"


def test_nothing_is_heard_after_the_end():
    one = talk(b"QUIT\r\nNOOP\r\n", b"NOOP\r\n")

    assert one.codes == ["221"]


lines = st.sampled_from(
    [
        HELLO,
        b"HELO me\r\n",
        b"MAIL FROM:<bob@elsewhere.test> SIZE=50\r\n",
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<ann@ours.test>\r\n",
        b"RCPT TO:<nobody@ours.test>\r\n",
        b"RCPT TO:<\xc3\xa4@ours.test>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\n",
        b"BDAT 80000\r\n",
        b"BDAT 7 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 3 FIRST\r\n",
        b"BDAT\r\n",
        b"Subject: x\r\n\r\nbody\r\n.\r\n",
        b"..dots\r\n.\r\n\r\n.\r\n",
        b"bare\nlf\r\n.\n\r\n.\r\n",
        b"\r\n",
        b".\r\n",
        b"x" * 70_000 + b"\r\n",
        b"y" * 30_000,
        b"RSET\r\n",
        b"STARTTLS\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH CRAM-MD5\r\n",
        b"AUTH SCRAM-SHA-256 biwsbj1hbm4scj14\r\n",
        b"AUTH SCRAM-SHA-256-PLUS =\r\n",
        b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
        b"YW5u\r\n",
        b"*\r\n",
        b"VRFY x\r\n",
        b"\x00\xff\r",
        b"QUIT\r\n",
    ]
)


@given(st.lists(lines, max_size=30), st.lists(st.integers(0, 200_000), max_size=12))
def test_however_the_octets_are_cut_the_same_comes_out(said, cuts):
    listener = replace(
        LISTENER,
        tls=TlsMode.NONE,
        mechanisms=tuple(MECHANISMS),
        plaintext_auth=PlaintextAuth.ALWAYS,
        restricted=True,
    )
    octets = b"".join([HELLO, ENVELOPE, *said])
    places = sorted({0, *(cut % (len(octets) + 1) for cut in cuts), len(octets)})
    pieces = [octets[a:b] for a, b in itertools.pairwise(places)]

    whole = talk(octets, listener=listener)
    parted = talk(*pieces, listener=listener)

    assert parted.said == whole.said
    assert parted.asked == whole.asked
    assert parted.mails == whole.mails
    assert parted.core.is_closed == whole.core.is_closed


@given(st.lists(lines | st.binary(max_size=200), max_size=30))
def test_whatever_comes_every_reply_is_well_formed(said):
    one = talk(*said, listener=replace(LISTENER, mechanisms=tuple(MECHANISMS)), tls=TLS)

    assert re.fullmatch(rb"(?:%b)*" % REPLY.pattern, one.said)
