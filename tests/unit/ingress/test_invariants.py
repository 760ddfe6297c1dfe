"""What holds of a session whatever its client says, and however that is cut."""

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kernel.model.questions import BareLineEnds, TlsMode
from services.ingress.core.effects import Rejected
from tests.unit.ingress.talk import HELLO, LISTENER, STORED, talk

WORDS = {
    "EHLO": HELLO,
    "HELO": b"HELO client.example\r\n",
    "MAIL": b"MAIL FROM:<bob@elsewhere.test>\r\n",
    "bad MAIL": b"MAIL FROM:<bob\r\n",
    "null MAIL": b"MAIL FROM:<> SIZE=10\r\n",
    "RCPT": b"RCPT TO:<ann@ours.test>\r\n",
    "RCPT nobody": b"RCPT TO:<nobody@ours.test>\r\n",
    "DATA": b"DATA\r\n",
    "whole DATA": b"DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n",
    "bare DATA": b"DATA\r\nSubject: x\r\n\r\nhi\n.\r\n\r\n.\r\n",
    "end": b".\r\n",
    "BDAT": b"BDAT 6\r\nRSET\r\n",
    "BDAT LAST": b"BDAT 6 LAST\r\nDATA\r\n",
    "BDAT 0 LAST": b"BDAT 0 LAST\r\n",
    "bare BDAT": b"BDAT 3\r\na\nb",
    "long BDAT": b"BDAT 70000\r\n" + b"x" * 70_000,
    "bad BDAT": b"BDAT 6 FIRST\r\nMAIL \r\n",
    "RSET": b"RSET\r\n",
    "NOOP": b"NOOP\r\n",
    "STARTTLS": b"STARTTLS\r\n",
    "AUTH": b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    "nonsense": b"NONSENSE\r\n",
}
SAID = st.lists(st.sampled_from(sorted(WORDS)), max_size=25)
OPENING = ["EHLO", "MAIL", "RCPT"]


def spelt(said):
    return [WORDS[word] for word in said]


@given(SAID, st.sampled_from(BareLineEnds), st.integers(0, 3))
def test_mail_has_a_sender_and_recipients_and_is_taken_once(said, bare_line_ends, opening):
    listener = replace(LISTENER, bare_line_ends=bare_line_ends, max_message_size=100_000)
    one = talk(*spelt(OPENING[:opening] + said), listener=listener, max_errors=100)
    taken = [offer.id for offer, _ in one.mails]
    rejected = [effect.mail for effect in one.others if isinstance(effect, Rejected)]

    assert all(offer.recipients for offer, _ in one.mails)
    assert len({*taken, *rejected}) == len(taken) + len(rejected)
    assert one.said.count(STORED.lines()) == len(taken)
    assert len(taken) + len(rejected) <= one.said.count(b"250 2.1.0 ")


@given(SAID)
def test_after_a_refused_content_there_is_no_mail_until_the_next_begins(said):
    refused = ["EHLO", "MAIL", "RCPT", "bare BDAT"]
    rest = [word for word in said if "MAIL" not in word]

    one = talk(*spelt(refused + rest), max_errors=100)

    assert one.mails == []


@given(SAID, st.lists(st.integers(0, 300_000), max_size=8))
def test_however_it_is_cut_the_same_is_said_and_taken(said, cuts):
    octets = b"".join(spelt(OPENING + said))
    listener = replace(LISTENER, tls=TlsMode.NONE)  # what follows STARTTLS is thrown away
    places = sorted({0, *(cut % (len(octets) + 1) for cut in cuts), len(octets)})

    whole = talk(octets, listener=listener)
    pieced = talk(*(octets[a:b] for a, b in itertools.pairwise(places)), listener=listener)

    assert pieced.said == whole.said
    assert pieced.mails == whole.mails
    assert pieced.core.is_closed == whole.core.is_closed
