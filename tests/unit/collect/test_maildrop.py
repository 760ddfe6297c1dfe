"""Messages by number, their unique-ids, and what they look like on the wire."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collect.core.maildrop import Maildrop, Message
from services.collect.core.transcript import Transcript

UNIQUE_ID = re.compile(r"[\x21-\x7e]{1,70}")


@pytest.mark.parametrize("key", ["01kdq5h4g0test000000000000.ann", "x" * 70, "1700.M1P2.host,S=3"])
def test_a_key_is_its_own_unique_id(key):
    assert Message(key, 1).unique_id == key


@pytest.mark.parametrize("key", ["x" * 71, "two words", "käse", "\udcff", ""])
def test_a_key_that_cannot_be_one_has_another_that_never_changes(key):
    unique_id = Message(key, 1).unique_id

    assert UNIQUE_ID.fullmatch(unique_id)
    assert unique_id == Message(key, 2).unique_id != Message(key + "x", 1).unique_id


def test_numbers_stay_whatever_is_deleted():
    maildrop = Maildrop([Message("a", 1), Message("b", 20), Message("c", 300)])

    assert maildrop.delete(2)
    assert not maildrop.delete(2)

    assert [(number, message.key) for number, message in maildrop] == [(1, "a"), (3, "c")]
    assert (len(maildrop), maildrop.octets, maildrop.doomed()) == (2, 301, ("b",))
    maildrop.restore()
    assert (len(maildrop), maildrop.octets, maildrop.doomed()) == (3, 321, ())


def spelt(message, cuts=(), lines=None):
    transcript = Transcript(lines)
    places = [0, *sorted(cut for cut in cuts if cut < len(message)), len(message)]
    parts = [transcript.feed(message[start:end]) for start, end in pairwise(places)]
    return b"".join([*parts, transcript.end()])


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.b\r\n", b"a\r.b\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
    ],
)
def test_a_message_on_the_wire(message, wire):
    assert spelt(message) == wire


@pytest.mark.parametrize(
    ("lines", "wire"),
    [
        (0, b"A: b\r\nC: d\r\n\r\n.\r\n"),
        (1, b"A: b\r\nC: d\r\n\r\none\r\n.\r\n"),
        (2, b"A: b\r\nC: d\r\n\r\none\r\n..two\r\n.\r\n"),
        (9, b"A: b\r\nC: d\r\n\r\none\r\n..two\r\n\r\nfour\r\n.\r\n"),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_the_head_of_a_message(lines, wire, end):
    message = end.join([b"A: b", b"C: d", b"", b"one", b".two", b"", b"four", b""])

    assert spelt(message, range(len(message)), lines) == spelt(message, (), lines) == wire


texts = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"bc"])).map(b"".join)


@given(texts, st.lists(st.integers(0, 60)), st.none() | st.integers(0, 5))
def test_however_a_message_is_cut_it_looks_the_same(message, cuts, lines):
    assert spelt(message, cuts, lines) == spelt(message, (), lines)


@given(texts)
def test_a_client_gets_back_what_was_delivered(message):
    *lines, end, nothing = spelt(message).split(b"\r\n")

    assert (end, nothing) == (b".", b"")
    assert b"." not in lines
    unstuffed = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)
    whole = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    assert unstuffed == (whole if whole.endswith(b"\r\n") or not whole else whole + b"\r\n")


@given(texts, st.integers(0, 5))
def test_the_head_is_where_the_message_begins(message, lines):
    head, whole = spelt(message, (), lines), spelt(message)

    assert whole.startswith(head.removesuffix(b".\r\n"))
