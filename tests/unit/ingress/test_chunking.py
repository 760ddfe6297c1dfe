"""Chunks (RFC 3030): the same checks and the same content as after DATA."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.envelope import INLINE_LIMIT, Body
from kernel.model.questions import BareLineEnds
from services.ingress.core import replies
from services.ingress.core.effects import Rejected
from tests.unit.ingress.talk import ENVELOPE, HELLO, LISTENER, talk

NORMALISING = replace(LISTENER, bare_line_ends=BareLineEnds.NORMALISE)
BOTH = pytest.mark.parametrize("listener", [LISTENER, NORMALISING], ids=["refuse", "normalise"])


def bdat(octets, *, last=False):
    return b"BDAT %d%b\r\n%b" % (len(octets), b" LAST" if last else b"", octets)


def in_chunks(*chunks):
    """Return the chunks as they go over the wire, an empty last one behind them."""
    return b"".join(map(bdat, chunks)) + bdat(b"", last=True)


def as_data(content):
    """Return the content as it follows DATA (RFC 5321 §4.5.2). Its last line has an end."""
    return b"DATA\r\n" + (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def content_of(one):
    [(_, content)] = one.mails
    return content


def parted(octets, cuts):
    places = sorted({0, *(cut % (len(octets) + 1) for cut in cuts), len(octets)})
    return [octets[a:b] for a, b in itertools.pairwise(places)]


def test_a_message_is_its_chunks_put_together():
    one = talk(HELLO, ENVELOPE, in_chunks(b"Subject: x\r", b"\n\r\n.\r\nQUIT", b"\r\n"))

    assert content_of(one) == b"Subject: x\r\n\r\n.\r\nQUIT\r\n"
    assert one.codes[-4:] == ["250"] * 4


@BOTH
@given(content=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_a_binary_message_is_its_chunks_whatever_is_in_them(listener, content, cuts):
    envelope = ENVELOPE.replace(b".test>\r\nRCPT", b".test> BODY=BINARYMIME\r\nRCPT")
    content = b"Subject: x\r\n\r\n" + content

    one = talk(HELLO, envelope, in_chunks(*parted(content, cuts)), listener=listener)

    [(offer, taken)] = one.mails
    assert (offer.body, taken) == (Body.BINARY, content)


def test_nothing_hides_deep_in_the_header_of_a_binary_message():
    envelope = ENVELOPE.replace(b".test>\r\nRCPT", b".test> BODY=BINARYMIME\r\nRCPT")
    header = b"From: a@x.test\r\n" + b"X: y\r\n" * 11_000 + b"X: y\nFrom: ceo@bank.test\r\n"

    one = talk(HELLO, envelope, in_chunks(header + b"\r\nhi"))

    assert one.mails == []
    assert [effect.reply for effect in one.others if isinstance(effect, Rejected)] == [
        replies.HEADER_TOO_BIG
    ]


def test_the_last_line_of_a_message_ends_like_the_others():
    assert content_of(talk(HELLO, ENVELOPE, bdat(b"no end", last=True))) == b"no end\r\n"
    assert content_of(talk(HELLO, ENVELOPE, bdat(b"", last=True))) == b""


def test_a_large_message_in_chunks_is_handed_on_as_it_comes():
    lines = b"x" * 998 + b"\r\n"
    chunks = [lines * 10] * 8

    one = talk(HELLO, ENVELOPE, *map(bdat, chunks))
    assert len(one.open[1]) > INLINE_LIMIT
    one.send(bdat(b"", last=True))

    assert content_of(one) == b"".join(chunks)


@pytest.mark.parametrize("end", [b"RSET\r\n", HELLO, b"STARTTLS\r\n"])
def test_what_ends_a_transaction_spills_what_has_come_of_the_message(end):
    one = talk(HELLO, ENVELOPE, bdat(b"x\r\n" * 30_000), end)

    assert one.spilled == 1
    one.send(HELLO, ENVELOPE, bdat(b"", last=True))
    assert content_of(one) == b""


def test_a_chunk_that_is_refused_spills_the_message_and_is_logged_once():
    one = talk(HELLO, ENVELOPE, bdat(b"x\r\n" * 30_000), bdat(b"a\rb"), bdat(b"c", last=True))

    assert (one.spilled, one.mails) == (1, [])
    assert [effect.reply for effect in one.others if isinstance(effect, Rejected)] == [
        replies.BARE_LINE_END
    ]


def test_chunks_that_come_after_a_refused_one_count_as_one_error():
    one = talk(HELLO, ENVELOPE, bdat(b"a\rb") + bdat(b"c") * 50 + b"NOOP\r\n")

    assert one.codes[-52:] == ["554"] + ["503"] * 50 + ["250"]


def test_the_size_of_a_chunk_is_no_promise_to_keep_it():
    one = talk(HELLO, b"BDAT 99999999999999999999\r\n", *[b"x" * INLINE_LIMIT] * 50)

    assert one.codes[1:] == []
    assert one.mails == []


def test_who_sends_chunks_may_send_the_last_one_before_it_has_to_go():
    one = talk(HELLO, ENVELOPE, bdat(b"x\r\n"))

    one.act(one.core.leave())
    one.send(bdat(b"y\r\n", last=True))

    assert one.codes[-2:] == ["250", "421"]
    assert content_of(one) == b"x\r\ny\r\n"


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1\xff", b"BDAT 1\x00 LAST"]
)
def test_a_chunk_without_a_size_ends_the_session(line):
    one = talk(HELLO, line + b"\r\nQUIT\r\n")

    assert one.codes[-1] == "421"
    assert one.core.is_closed


def test_a_loop_is_seen_in_chunks_too():
    one = talk(HELLO, ENVELOPE, in_chunks(*[b"Received: x\r\n"] * 51, b"\r\nx\r\n"))

    assert one.codes[-2:] == ["250", "554"]


PIECES = {
    "CR": b"\r",
    "LF": b"\n",
    "CRLF": b"\r\n",
    "dot": b".",
    "CRLF.": b"\r\n.",
    "end": b"\r\n.\r\n",
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CR.CR": b"\r.\r",
    "letter": b"a",
    "NUL": b"\x00",
    "8-bit": b"\xff",
    "hops": b"Received: x\r\n" * 30,
    "header": b"Subject: x\r\n\r\n",
    "command": b"QUIT\r\n",
    "long line": b"x" * 40_000,
    "lines": b"y\r\n" * 20_000,
}
CONTENTS = st.lists(st.sampled_from(sorted(PIECES)), max_size=12)
CUTS = st.lists(st.integers(0, 300_000), max_size=8)


def spelt(pieces):
    return b"".join(PIECES[piece] for piece in pieces)


@BOTH
@given(CONTENTS, CUTS, CUTS)
def test_after_data_and_in_chunks_the_same_content_comes_to_the_same(listener, pieces, cuts, tcp):
    content = spelt([*pieces, "CRLF"])
    data = talk(HELLO, ENVELOPE, *parted(as_data(content), tcp), listener=listener)
    chunks = in_chunks(*parted(content, cuts))
    chunked = talk(HELLO, ENVELOPE, *parted(chunks, tcp), listener=listener)

    assert [content for _, content in chunked.mails] == [content for _, content in data.mails]
    for one in (data, chunked):
        assert len(one.mails) + sum(code in ("552", "554") for code in one.codes) == 1


@BOTH
@given(CONTENTS)
def test_nothing_that_could_end_a_message_for_somebody_goes_on(listener, pieces):
    content = spelt(pieces)
    for one in (
        talk(HELLO, ENVELOPE, as_data(content + b"\r\n"), listener=listener),
        talk(HELLO, ENVELOPE, in_chunks(content), listener=listener),
    ):
        for _, taken in one.mails:
            lines = taken.split(b"\r\n")
            assert lines[-1] == b""
            assert not any(b"\r" in line or b"\n" in line for line in lines)


@given(CONTENTS)
def test_who_normalises_loses_nothing_but_line_ends(pieces):
    content = spelt(pieces)
    one = talk(HELLO, ENVELOPE, in_chunks(content), listener=NORMALISING, max_hops=1_000)

    for _, taken in one.mails:
        assert taken.split() == content.replace(b"\r", b"\n").split()


@given(CONTENTS, CUTS, CUTS)
def test_however_chunks_are_cut_on_their_way_the_same_is_said(pieces, cuts, tcp):
    chunks = in_chunks(*parted(spelt(pieces), cuts))

    whole = talk(HELLO, ENVELOPE, chunks)
    pieced = talk(HELLO, ENVELOPE, *parted(chunks, tcp))

    assert pieced.said == whole.said
    assert [content for _, content in pieced.mails] == [content for _, content in whole.mails]
