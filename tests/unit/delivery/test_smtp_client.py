"""The client's dialogue, octet by octet, without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.reply import Reply
from services.delivery.core.mailing import NEEDS_8BITMIME, Mailing
from services.delivery.core.settle import NO_ANSWER
from services.delivery.core.smtp_client import NOT_SMTP, Phase, SmtpClient
from tests.support.mail import ANN, BOB, CAT, make_envelope

PIPELINING = b"250-there\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
LOCK_STEP = b"250 there\r\n"
MAIL = b"MAIL FROM:<ann@ours.test>\r\n"
TO_BOB = b"RCPT TO:<bob@elsewhere.test>\r\n"
TO_CAT = b"RCPT TO:<cat@elsewhere.test>\r\n"
DATA = b"DATA\r\n"
OK = b"250 2.0.0 OK\r\n"
GO = b"354 go\r\n"
DOT = b"hi\r\n.\r\n"


def make_client(ehlo=PIPELINING, **options):
    client = SmtpClient("us.test", **options)
    assert client.receive(b"220 there\r\n") == b"EHLO us.test\r\n"
    client.receive(ehlo)
    return client


def make_mailing(*recipients, content=b"hi\r\n", streamed=False):
    envelope = make_envelope(*recipients, content=content)
    octets = None if streamed else content
    return Mailing(envelope, octets, eight_bit=not content.isascii())


def say(client, *answers):
    return [client.receive(answer) for answer in answers]


def codes(client):
    return {address: reply.code for address, reply in client.replies.items()}


def test_mail_rcpt_and_data_go_together_where_offered():
    client = make_client()

    assert client.begin(make_mailing(BOB, CAT)) == MAIL + TO_BOB + TO_CAT + DATA
    assert say(client, OK, OK, OK, GO, OK) == [b"", b"", b"", DOT, b""]
    assert client.phase is Phase.IDLE
    assert codes(client) == {BOB: 250, CAT: 250}


def test_they_go_one_by_one_elsewhere():
    client = make_client(LOCK_STEP)

    assert client.begin(make_mailing(BOB, CAT)) == MAIL
    assert say(client, OK, OK, OK, GO, OK) == [TO_BOB, TO_CAT, DATA, DOT, b""]
    assert codes(client) == {BOB: 250, CAT: 250}


def test_a_server_without_ehlo_is_greeted_with_helo():
    client = SmtpClient("us.test")
    client.receive(b"220 there\r\n")

    assert client.receive(b"502 5.5.1 What?\r\n") == b"HELO us.test\r\n"
    client.receive(b"250 there\r\n")

    assert client.phase is Phase.IDLE
    assert client.offers == {}


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["together", "one by one"])
def test_who_is_refused_does_not_keep_the_others_from_it(ehlo):
    client = make_client(ehlo)
    client.begin(make_mailing(ANN, BOB, CAT))

    out = say(client, OK, b"550 5.1.1 no\r\n", OK, b"452 4.2.2 full\r\n", GO, OK)

    assert DOT in out
    assert codes(client) == {ANN: 550, BOB: 250, CAT: 452}


@pytest.mark.parametrize("ehlo", [PIPELINING, LOCK_STEP], ids=["together", "one by one"])
def test_a_refused_sender_is_everybodys_answer(ehlo):
    client = make_client(ehlo)
    client.begin(make_mailing(BOB, CAT))

    say(client, b"553 5.1.8 no\r\n")
    if ehlo is PIPELINING:
        say(client, b"503 no\r\n", b"503 no\r\n", b"503 no\r\n")

    assert client.phase is Phase.IDLE
    assert codes(client) == {BOB: 553, CAT: 553}


def test_nobody_left_means_no_content_one_by_one():
    client = make_client(LOCK_STEP)
    client.begin(make_mailing(BOB))

    assert say(client, OK, b"550 no\r\n") == [TO_BOB, b""]
    assert codes(client) == {BOB: 550}


def test_a_server_that_goes_ahead_for_nobody_gets_an_empty_content():
    client = make_client()
    client.begin(make_mailing(BOB))

    assert say(client, OK, b"550 no\r\n", GO) == [b"", b"", b".\r\n"]
    say(client, b"554 no valid recipients\r\n")
    assert client.phase is Phase.IDLE
    assert codes(client) == {BOB: 550}


def test_the_answer_to_the_dot_is_the_answer_of_the_accepted():
    client = make_client()
    client.begin(make_mailing(BOB, CAT))

    say(client, OK, OK, b"550 5.1.1 no\r\n", GO, b"554 5.7.1 spam\r\n")

    assert client.replies[BOB] == Reply(554, "5.7.1", "spam")
    assert client.replies[CAT] == Reply(550, "5.1.1", "no")


def test_a_transaction_that_broke_off_is_reset_before_the_next():
    client = make_client()
    client.begin(make_mailing(BOB))
    say(client, OK, b"550 no\r\n", b"503 no\r\n")

    assert client.begin(make_mailing(CAT)) == b"RSET\r\n"
    assert say(client, OK, OK, OK, GO, OK) == [MAIL + TO_CAT + DATA, b"", b"", DOT, b""]
    assert codes(client) == {CAT: 250}


def test_one_that_ended_well_is_not():
    client = make_client()
    client.begin(make_mailing(BOB))
    say(client, OK + OK + GO, OK)

    assert client.begin(make_mailing(CAT)) == MAIL + TO_CAT + DATA


@pytest.mark.parametrize("answers", range(5))
def test_a_lost_connection_is_a_deferral_wherever_it_happens(answers):
    client = make_client()
    client.begin(make_mailing(BOB))

    say(client, *[OK, OK, GO, b"250 half a l"][:answers])
    client.lose()

    assert client.replies == {BOB: NO_ANSWER}
    assert client.phase is Phase.CLOSED
    assert client.committed is (answers >= 3)


def test_what_was_answered_before_the_loss_stands():
    client = make_client()
    client.begin(make_mailing(BOB, CAT))

    say(client, OK, b"550 5.1.1 no\r\n")
    client.lose()

    assert codes(client) == {BOB: 550, CAT: 451}


@pytest.mark.parametrize("answers", range(4))
def test_421_ends_the_connection_at_any_point(answers):
    client = make_client()
    client.begin(make_mailing(BOB))

    say(client, *[OK, OK, GO][:answers], b"421 4.3.2 closing\r\n")

    assert client.replies == {BOB: Reply(421, "4.3.2", "closing")}
    assert client.phase is Phase.CLOSED


@pytest.mark.parametrize(
    "answers",
    [
        (b"garbage\r\n",),
        (GO,),
        (OK, GO),
        (OK, OK, OK),
        (OK, OK, GO, GO),
        (OK, OK, b"\x00\x01\x02\r\n"),
    ],
    ids=[
        "garbage",
        "go ahead for MAIL",
        "go ahead for RCPT",
        "done instead of go ahead",
        "go ahead for the dot",
        "binary",
    ],
)
def test_an_answer_that_makes_no_sense_is_a_deferral(answers):
    client = make_client()
    client.begin(make_mailing(BOB))

    say(client, *answers)

    assert client.replies == {BOB: NOT_SMTP}
    assert client.phase is Phase.CLOSED


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"554 5.3.2 no\r\n", Reply(554, "5.3.2", "no")),
        (b"421 4.3.2 busy\r\n", Reply(421, "4.3.2", "busy")),
        (b"250 what\r\n", NOT_SMTP),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NOT_SMTP),
        (b"220-" + b"x" * 10_000, NOT_SMTP),
    ],
)
def test_a_bad_greeting_closes_the_connection(octets, reason):
    client = SmtpClient("us.test")

    assert client.receive(octets) == b""
    assert client.phase is Phase.CLOSED
    assert client.failure == reason


def test_a_word_while_nothing_was_asked_closes_it_too():
    client = make_client()

    client.receive(b"250 by the way\r\n")

    assert client.failure == NOT_SMTP


def test_tls_is_taken_where_offered_and_all_is_said_anew():
    client = make_client(b"250-there\r\n250-STARTTLS\r\n250 DSN\r\n", use_tls=True)
    assert client.phase is Phase.STARTTLS

    client.receive(b"220 go\r\n")
    assert client.phase is Phase.HANDSHAKE
    assert client.secured() == b"EHLO us.test\r\n"
    client.receive(b"250-there\r\n250 PIPELINING\r\n")

    assert client.phase is Phase.IDLE
    assert client.offers == {"PIPELINING": ""}


def test_tls_that_is_refused_after_all_is_done_without():
    client = make_client(b"250-there\r\n250 STARTTLS\r\n", use_tls=True)

    client.receive(b"454 4.7.0 not now\r\n")

    assert client.phase is Phase.IDLE


@pytest.mark.parametrize("injected", [b"250 smuggled\r\n", b"250 smugg"])
def test_what_was_said_before_tls_is_not_believed(injected):
    client = make_client(b"250-there\r\n250 STARTTLS\r\n", use_tls=True)

    client.receive(b"220 go\r\n" + injected)
    client.secured()

    assert client.failure == NOT_SMTP


def test_a_streamed_content_is_awaited():
    client = make_client()
    client.begin(make_mailing(BOB, streamed=True))

    assert say(client, OK + OK + GO) == [b""]
    assert client.phase is Phase.CONTENT
    assert client.last_piece(b"hi\r\n") == DOT
    assert client.phase is Phase.DOT
    client.receive(OK)

    assert codes(client) == {BOB: 250}


def test_a_refusal_in_the_middle_of_the_content_counts():
    client = make_client()
    client.begin(make_mailing(BOB, streamed=True))

    say(client, OK + OK + GO, b"552 5.3.4 too much\r\n")

    assert codes(client) == {BOB: 552}
    assert client.phase is Phase.CLOSED


def test_nothing_is_said_when_the_server_cannot_have_it():
    client = make_client(LOCK_STEP)

    assert client.begin(make_mailing(BOB, content="Grüße".encode())) == b""
    assert client.replies == {BOB: NEEDS_8BITMIME}
    assert client.phase is Phase.IDLE


def test_only_an_idle_connection_says_goodbye():
    assert make_client().quit() == b"QUIT\r\n"
    client = make_client()
    client.begin(make_mailing(BOB))
    assert client.quit() == b""
    assert client.replies == {BOB: NO_ANSWER}


lines = st.sampled_from([OK, GO, b"450 x\r\n", b"550 x\r\n", b"421 x\r\n", b"?\r\n", b"250-x\r\n"])


@given(st.lists(lines | st.binary(max_size=8)), st.sampled_from([PIPELINING, LOCK_STEP]))
def test_whatever_the_server_says_everybody_gets_one_answer(answers, ehlo):
    client = make_client(ehlo)
    client.begin(make_mailing(ANN, BOB, CAT))

    say(client, *answers)
    client.lose()

    assert set(client.replies) == {ANN, BOB, CAT}
    assert all(reply.code < 300 or reply.code >= 400 for reply in client.replies.values())
    if any(reply.is_positive for reply in client.replies.values()):
        assert client.committed
