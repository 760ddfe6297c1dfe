import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.reply import Reply
from kernel.smtp_reply import MAX_LINE, MAX_LINES, NotSmtpError, ReplyReader


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 2.1.0 OK\r\n", Reply(250, "2.1.0", "OK")),
        (b"250 OK\r\n", Reply(250, "2.0.0", "OK")),
        (b"250\r\n", Reply(250, "2.0.0", "")),
        (b"250 \n", Reply(250, "2.0.0", "")),
        (b"354 Go on\r\n", Reply(354, "", "Go on")),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", "")),
        (b"550 2.1.5 odd\r\n", Reply(550, "5.0.0", "2.1.5 odd")),
        (b"550-5.1.1 No such\r\n550 5.1.1 user\r\n", Reply(550, "5.1.1", "No such\nuser")),
        (b"451-first\r\n550 5.0.0 last counts\r\n", Reply(550, "5.0.0", "first\nlast counts")),
        ("550 5.1.1 Größe\r\n".encode(), Reply(550, "5.1.1", "Größe")),
        (b"550 5.1.1 \xff\r\n", Reply(550, "5.1.1", "\ufffd")),
    ],
)
def test_an_answer_is_read(octets, reply):
    assert list(ReplyReader().feed(octets)) == [reply]


@given(st.lists(st.integers(1, 20)))
def test_answers_may_come_in_any_pieces(sizes):
    octets = b"250-a\r\n250 b\r\n354 go\r\n550 5.1.1 no\r\n"
    reader, pieces = ReplyReader(), []

    for size in [*sizes, len(octets)]:
        pieces += reader.feed(octets[:size])
        octets = octets[size:]

    assert [reply.code for reply in pieces] == [250, 354, 550]
    assert reader.is_empty


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 OK\r\n",
        b"2500 OK\r\n",
        b"150 OK\r\n",
        b"650 OK\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\x02\x00\r\n",
        b"2" * (MAX_LINE + 1),
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"220-more\r\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_not_smtp_is_told_apart_in_bounded_memory(octets):
    with pytest.raises(NotSmtpError):
        list(ReplyReader().feed(octets))


def test_a_half_line_waits_for_its_other_half():
    reader = ReplyReader()

    assert list(reader.feed(b"250 O")) == []
    assert not reader.is_empty
    assert list(reader.feed(b"K\r\n")) == [Reply(250, "2.0.0", "OK")]


def test_what_came_before_the_garbage_counts():
    replies = ReplyReader().feed(b"250 OK\r\ngarbage\r\n")

    assert next(replies).code == 250
    with pytest.raises(NotSmtpError):
        next(replies)
