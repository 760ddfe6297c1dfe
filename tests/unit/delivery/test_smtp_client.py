"""The client's dialogue, octet by octet, without a socket."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.reply import Reply
from kernel.stuffing import stuffed
from services.delivery.core.login import NO_LOGIN, Credentials
from services.delivery.core.mailing import NEEDS_8BITMIME, TOO_MANY, Mailing
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


@pytest.mark.parametrize("end", [SmtpClient.quit, SmtpClient.lose])
def test_nothing_is_begun_where_nobody_is_any_more(end):
    client = make_client()
    end(client)

    assert client.begin(make_mailing(BOB)) == b""
    assert client.phase is Phase.CLOSED
    assert client.failure == NO_ANSWER
    assert client.replies == {BOB: NO_ANSWER}
    assert not client.committed


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


def test_a_server_that_puts_off_a_content_early_is_well():
    client = make_client()
    client.begin(make_mailing(BOB, streamed=True))

    say(client, OK + OK + GO, b"452 4.3.1 too much for now\r\n")

    assert codes(client) == {BOB: 452}
    assert (client.phase, client.failure) == (Phase.CLOSED, None)


def test_nothing_is_said_when_the_server_cannot_have_it():
    client = make_client(LOCK_STEP)

    assert client.begin(make_mailing(BOB, content="Grüße".encode())) == b""
    assert client.replies == {BOB: NEEDS_8BITMIME}
    assert client.phase is Phase.IDLE


def test_a_loss_afterwards_concerns_nobody_of_before():
    client = make_client(LOCK_STEP)
    client.begin(make_mailing(CAT))
    say(client, OK, OK, GO, OK)
    client.begin(make_mailing(BOB, content="Grüße".encode()))

    client.lose()

    assert client.replies == {BOB: NEEDS_8BITMIME}


def test_only_an_idle_connection_says_goodbye():
    assert make_client().quit() == b"QUIT\r\n"
    client = make_client()
    client.begin(make_mailing(BOB))
    assert client.quit() == b""
    assert client.replies == {BOB: NO_ANSWER}


COMMAND = re.compile(
    rb"(EHLO|HELO) us\.test\r\n|STARTTLS\r\n|RSET\r\n|DATA\r\n"
    rb"|MAIL FROM:<ann@ours\.test>( SIZE=\d+)?( BODY=8BITMIME)?\r\n"
    rb"|RCPT TO:<(ann|bob|cat)@(ours|elsewhere)\.test>\r\n"
    rb"|AUTH [A-Z0-9-]+( =|( [A-Za-z0-9+/]+=*))?\r\n"
    rb"|BDAT (?P<size>\d+)(?P<last> LAST)?\r\n"
)
LOGIN_LINE = re.compile(rb"([A-Za-z0-9+/]+=*)?\r\n")
CONTENT = b".hi\r\n..\r\nGr\xc3\xbc\xc3\x9fe\r\n"


class Listener:
    """A server's ear: takes nothing but well-formed SMTP, and knows a whole content."""

    def __init__(self, client, *, streamed):
        self.client = client
        self.streamed = streamed
        self.has_content = False
        self.chunks = b""

    def begin(self):
        self.has_content = False
        self.chunks = b""
        self.hear_commands(self.client.begin(make_mailing(ANN, BOB, CAT, **self.content())))
        self.check()

    def content(self):
        return {"content": CONTENT, "streamed": self.streamed}

    def say(self, piece):
        before = self.client.phase
        said = self.client.receive(piece)
        self.check()  # who has the message now has said so after the whole of it
        if before is Phase.AUTH and self.client.phase is Phase.AUTH and said:
            assert LOGIN_LINE.fullmatch(said)
        elif said.endswith(b"\r\n.\r\n") or said == b".\r\n":
            assert said in (stuffed(CONTENT), stuffed(b""))
            self.has_content = said != stuffed(b"")
        else:
            self.hear_commands(said)
        if self.client.phase is Phase.HANDSHAKE:
            self.hear_commands(self.client.secured())
        if self.client.phase is Phase.CONTENT:
            self.hear_stream()

    def hear_stream(self):
        by_data = self.client._stuffer is not None
        said = b"".join([self.client.piece(CONTENT[:5]), self.client.last_piece(CONTENT[5:])])
        if by_data:
            assert said == stuffed(CONTENT)
            self.has_content = True
        else:
            self.hear_commands(said)

    def hear_commands(self, said):
        while said:
            command = COMMAND.match(said)
            assert command, said
            said = said[command.end() :]
            if command["size"]:
                self.chunks += said[: int(command["size"])]
                said = said[int(command["size"]) :]
                if command["last"]:
                    assert self.chunks == CONTENT
                    self.has_content, self.chunks = True, b""

    def check(self):
        if any(reply.is_positive for reply in self.client.replies.values()):
            assert self.has_content


SAID = [OK, GO, b"220 x\r\n", b"235 x\r\n", b"334 YQ==\r\n", b"450 x\r\n", b"550 x\r\n"]
SAID += [b"421 x\r\n", b"502 x\r\n", b"452 4.5.3 x\r\n", b"552 x\r\n", b"?\r\n", b"250-x\r\n", b"2"]
SAID += [b"250-x\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\r\n250 SIZE\r\n"]
GREAT = b"250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
LIMITED = b"250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 MAILMAX=3\r\n"
SAID += [GREAT, LIMITED, PIPELINING, b"250-x\r\n250-CHUNKING\r\n250 8BITMIME\r\n"]
said = st.lists(st.sampled_from(SAID) | st.binary(max_size=4), max_size=8)
usual = [OK, OK, OK, OK, GO, OK, OK, OK, GO, OK]
usual_openings = st.sampled_from([GREAT, LIMITED, PIPELINING]).map(
    lambda ehlo: [b"220 x\r\n", ehlo]
)
usual_answers = st.integers(0, len(usual)).map(lambda count: usual[:count])


@st.composite
def pieces(draw, usually):
    """What a server may say: for a while what it mostly is, then anything, cut anywhere."""
    wire = b"".join([*draw(usually), *(draw(said) if draw(st.booleans()) else [])])
    match draw(st.sampled_from(["line by line", "in one breath", "in shreds"])):
        case "line by line":
            return wire.splitlines(keepends=True)
        case "in one breath":
            return [wire]
        case _:
            cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=8)))
            return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@given(
    opening=pieces(usual_openings),
    mails=st.lists(pieces(usual_answers), min_size=1, max_size=3),
    use_tls=st.booleans(),
    mechanism=st.none()
    | st.sampled_from(["", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"]),
    streamed=st.booleans(),
)
def test_whatever_the_server_says_everybody_gets_one_answer(
    opening, mails, use_tls, mechanism, streamed
):
    """And nothing but SMTP is said to it, and nobody has a message that did not go out whole."""
    login = None if mechanism is None else Credentials("ann", "x", mechanism, "nonce")
    client = SmtpClient("us.test", use_tls=use_tls, credentials=login)
    listener = Listener(client, streamed=streamed)
    for piece in opening:
        listener.say(piece)

    for mail in mails:
        if client.phase is not Phase.IDLE:
            return
        listener.begin()
        for piece in mail:
            listener.say(piece)
        if client.phase is not Phase.IDLE:
            client.lose()
        listener.check()
        assert set(client.replies) == {ANN, BOB, CAT}
        codes = {reply.code for reply in client.replies.values()}
        assert all(200 <= code < 300 or 400 <= code < 600 for code in codes)


def test_a_chunk_goes_with_the_envelope_where_both_are_offered():
    client = make_client(GREAT)

    assert client.begin(make_mailing(BOB)) == MAIL + TO_BOB + b"BDAT 4 LAST\r\nhi\r\n"
    assert client.committed
    say(client, OK + OK + OK)
    assert codes(client) == {BOB: 250}


@pytest.mark.parametrize(
    ("answers", "committed"),
    [
        ((), True),
        ((b"421 x\r\n",), False),
        ((OK, b"421 x\r\n"), False),
        ((OK, OK, b"421 x\r\n"), True),
        ((b"550 x\r\n", b"503 x\r\n", b"503 x\r\n"), False),
        ((OK, b"550 x\r\n", b"503 x\r\n"), False),
    ],
)
def test_a_lost_chunk_may_have_been_taken_unless_it_was_said_otherwise(answers, committed):
    client = make_client(GREAT)
    client.begin(make_mailing(BOB))

    say(client, *answers)
    client.lose()

    assert client.committed is committed


def test_a_stream_goes_in_chunks_whose_answers_are_not_waited_for():
    client = make_client(GREAT)
    assert client.begin(make_mailing(BOB, streamed=True)) == MAIL + TO_BOB
    say(client, OK + OK)

    assert client.piece(b".a") == b"BDAT 2\r\n.a"
    assert client.piece(b"b") == b"BDAT 1\r\nb"
    say(client, OK)
    assert client.last_piece(b"c") == b"BDAT 1 LAST\r\nc"
    say(client, OK)
    assert client.replies == {}
    say(client, b"554 no\r\n")

    assert codes(client) == {BOB: 554}
    assert client.begin(make_mailing(BOB)) == b"RSET\r\n"


def test_more_than_a_hundred_recipients_are_told_in_several_transactions():
    crowd = [Address(f"r{n}", "elsewhere.test") for n in range(250)]
    client = make_client()
    told = [client.begin(make_mailing(*crowd)).count(b"RCPT")]

    for count in (100, 100, 50):
        _, *answers = say(client, OK * (1 + count) + GO, OK)
        told += [answer.count(b"RCPT") for answer in answers if answer]

    assert told == [100, 100, 50]
    assert set(codes(client).values()) == {250}
    assert len(client.replies) == 250


def test_a_stream_is_asked_for_once_for_each_transaction():
    client = make_client(b"250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1\r\n")
    client.begin(make_mailing(BOB, CAT, streamed=True))

    for _ in range(2):
        say(client, OK + OK + GO)
        assert client.phase is Phase.CONTENT
        client.last_piece(b"hi\r\n")
        say(client, OK)

    assert client.phase is Phase.IDLE
    assert codes(client) == {BOB: 250, CAT: 250}


def test_who_does_not_fit_on_the_connection_waits():
    client = make_client(b"250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=1\r\n")
    client.begin(make_mailing(BOB, CAT))
    say(client, OK + OK + GO, OK)

    assert client.replies[BOB].code == 250
    assert client.replies[CAT] == TOO_MANY


def test_a_connection_is_spent_after_as_many_mails_as_the_server_wants():
    client = make_client(b"250-x\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=1\r\n")
    assert not client.is_spent

    client.begin(make_mailing(BOB))
    say(client, OK + OK + GO, OK)

    assert client.is_spent


@pytest.mark.parametrize("words", [b"250-there\r\n250-AUTH PLAIN\r\n250 AUTH=LOGIN CRAM-MD5\r\n"])
def test_what_is_offered_twice_is_offered_once(words):
    assert make_client(words).offers == {"AUTH": "PLAIN LOGIN CRAM-MD5"}


def test_no_login_and_no_promise_counts_in_the_clear():
    credentials = Credentials("ann", "x")
    client = make_client(b"250-x\r\n250-REQUIRETLS\r\n250 AUTH PLAIN\r\n", credentials=credentials)

    assert client.failure == NO_LOGIN
    assert "REQUIRETLS" not in client.offers


def test_tls_from_the_first_octet_comes_before_the_greeting():
    client = SmtpClient(
        "us.test", implicit_tls=True, use_tls=True, credentials=Credentials("a", "b")
    )
    assert client.phase is Phase.HANDSHAKE
    client.secured()

    assert client.receive(b"220 x\r\n") == b"EHLO us.test\r\n"
    said = client.receive(b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")

    assert said == b"AUTH PLAIN AGEAYg==\r\n"
