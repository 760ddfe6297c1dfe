import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.envelope import INLINE_LIMIT
from services.ingress.core.content import DataReader, LineEnds
from services.ingress.core.lines import MAX_LINE, Lines


def read(*pieces, normalise=False):
    """Return the content, what follows it, and whether it has a bad line end."""
    reader, line_ends = DataReader(), LineEnds(normalise=normalise)
    content = b""
    for number, piece in enumerate(pieces):
        clean, rest = reader.feed(piece)
        content += line_ends.feed(clean)
        if rest is not None:
            content += line_ends.finish()
            return content, rest + b"".join(pieces[number + 1 :]), line_ends.is_bad
    return content, None, line_ends.is_bad


@pytest.mark.parametrize(
    ("octets", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"hi\r\n.\r\n", b"hi\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".hidden\r\n.\r\n", b"hidden\r\n"),
        (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
    ],
)
def test_the_first_dot_of_a_line_goes(octets, content):
    assert read(octets) == (content, b"", False)


def test_what_follows_the_end_is_no_content():
    assert read(b"hi\r\n.\r\nQUIT\r\n") == (b"hi\r\n", b"QUIT\r\n", False)


def test_of_many_ends_the_first_counts():
    content, rest = DataReader().feed(b"a\r\n" + b".\r\n" * 1_000)

    assert (content, rest) == (b"a\r\n", b".\r\n" * 999)


@pytest.mark.parametrize(
    "fake",
    [
        b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r.\n", b"\n.\r",
        b"\r\n\x00.\r\n", b"\r\r\n.\n", b"\n\n.\r\n", b"\r\n..\r\n",
    ],
)  # fmt: skip
def test_nothing_but_crlf_dot_crlf_ends_the_data(fake):
    _, rest, bare = read(b"hi" + fake + b"x\r\n.\r\nQUIT\r\n")

    assert rest == b"QUIT\r\n"
    assert bare or fake in (b"\r\n\x00.\r\n", b"\r\n..\r\n")


def test_little_is_held_back():
    reader, line_ends = DataReader(), LineEnds(normalise=False)

    size = sum(len(line_ends.feed(reader.feed(b"\r\n" * 5_000)[0])) for _ in range(100))

    assert size >= 1_000_000 - 10


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\r\n.\r\n"])),
    st.lists(st.integers(1, 3)),
)
def test_cuts_change_nothing(parts, sizes):
    octets = b"".join(parts)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(octets[at : at + size])
        at += size
    pieces.append(octets[at:])

    content, rest, bare = read(octets)
    again, rest_again, bare_again = read(*pieces)

    assert rest_again == rest
    if rest is not None:
        assert (again, bare_again) == (content, bare)


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"\xff" * 2000])))
def test_what_is_stuffed_comes_out_as_it_was(lines):
    message = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." + line if line[:1] == b"." else line) + b"\r\n" for line in lines)

    assert read(stuffed + b".\r\n") == (message, b"", False)


@given(st.lists(st.integers(0, 3 * MAX_LINE), max_size=4), st.lists(st.integers(0, 60_000)))
def test_lines_come_out_however_they_were_cut(lengths, cuts):
    octets = b"".join(b"x" * length + b"\r\n" for length in lengths)
    places = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    lines, found = Lines(), []
    for a, b in itertools.pairwise(places):
        lines.feed(octets[a:b])
        while (line := lines.next()) is not None:
            found.append(line)

    assert [min(len(line), MAX_LINE + 1) for line in found] == [
        min(length, MAX_LINE + 1) for length in lengths
    ]


def test_an_endless_line_is_not_kept():
    lines = Lines()
    for _ in range(100):
        lines.feed(b"x" * INLINE_LIMIT)
        assert lines.next() is None

    assert len(lines.take()) < 2
