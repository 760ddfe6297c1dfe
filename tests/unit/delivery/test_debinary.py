"""A binary message becomes one that lines can carry, and its parts stay what they were."""

import itertools
from email import message_from_bytes
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.core.debinary import Debinary

OCTETS = bytes(range(256)) * 3
BINARY = b"Content-Transfer-Encoding: binary\r\n"


def converted(*pieces):
    converter = Debinary()
    return b"".join(map(converter.feed, pieces)) + converter.finish()


def multipart(*parts, boundary=b"bound", kind=b"mixed", fields=b"", preamble=b"", epilogue=b"\r\n"):
    head = b'Content-Type: multipart/%b; boundary="%b"\r\n' % (kind, boundary) + fields
    body = b"".join(b"\r\n--%b\r\n%b" % (boundary, part) for part in parts)
    return head + b"\r\n" + preamble + body + b"\r\n--%b--" % boundary + epilogue


def leaves(octets):
    message = message_from_bytes(octets, policy=SMTP)
    parts = (part for part in message.walk() if not part.is_multipart())
    return [part.get_payload(decode=True) for part in parts]


def test_a_binary_part_becomes_base64_and_its_neighbours_stay():
    text = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    image = b"Content-Type: image/png\r\nContent-transfer-encoding:\r\n Binary\r\n\r\n" + OCTETS
    whole = multipart(text, image, fields=BINARY)

    changed = converted(whole)

    assert leaves(changed) == [b"hello\r\n", OCTETS]
    assert b"binary" not in changed.lower()
    assert changed.partition(b"\r\n\r\n")[0].endswith(b"\nContent-Transfer-Encoding: 8bit")


def test_a_message_that_is_one_binary_part_becomes_base64():
    head = b"Subject: x\r\nContent-Type: application/octet-stream\r\n"

    assert leaves(converted(head + BINARY + b"\r\n" + OCTETS)) == [OCTETS]


def test_a_message_within_the_message_is_read_like_the_outer_one():
    inner = multipart(BINARY + b"\r\n" + OCTETS, boundary=b"bound-2", fields=BINARY)
    carrier = b"Content-Type: message/rfc822\r\n" + BINARY + b"\r\n" + inner
    digest = multipart(BINARY + b"Subject: y\r\n\r\n" + OCTETS, boundary=b"b-3", kind=b"digest")

    changed = converted(multipart(carrier, digest, fields=BINARY))

    assert leaves(changed)[0] == OCTETS
    assert b"binary" not in changed.lower()


def test_what_is_not_called_binary_gets_line_ends():
    head = b"Content-Type: text/plain\r\n\r\n"

    assert converted(head + b"a\nb\rc\r\n\n") == head + b"a\r\nb\r\nc\r\n\r\n"


def test_what_is_encoded_already_stays():
    part = b"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n"

    assert converted(multipart(part)) == multipart(part)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\n\r\n--x--",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--b\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n--b\r\n\r\n--b--",
        b'Content-Type: multipart/mixed; boundary="\xff"\r\n\r\n--\xff\r\n\r\n--\xff--',
        b"Content-Type: multipart/mixed; boundary*=no-such-charset''%ff\r\n\r\nx",
        b"X: " + b"y" * 200_000,
    ],
)
def test_what_is_malformed_stays_as_it_is_with_its_last_line_ended(octets):
    assert converted(octets) == (
        octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"
    )


def test_however_deep_it_is_nothing_is_lost():
    whole = BINARY + b"\r\n" + OCTETS
    for depth in range(60):
        whole = multipart(whole, boundary=b"b%d" % depth)

    assert converted(whole).count(b"\r\n--b") == 120


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: multipart/mixed; boundary=" + b"b" * 201,
        b"Content-Type: multipart/mixed; boundary=b; x=" + b'";' * 3_000,
    ],
)
def test_what_is_longer_than_anybody_needs_is_not_read(field):
    whole = field + b"\r\n\r\n--b\r\n" + BINARY + b"\r\na\nb\r\n--b--\r\n"

    assert converted(whole) == whole.replace(b"a\nb", b"a\r\nb")


def test_whoever_sends_a_million_parts_costs_us_no_more_than_some():
    parts = b"\r\n--b\r\nContent-Type: message/rfc822\r\n" + BINARY + b"\r\n" + BINARY + b"\r\n"
    whole = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts * 3_000 + b"\r\n--b--\r\n"

    changed = converted(whole)

    assert changed.count(b"Content-Transfer-Encoding: base64") == 1_000
    assert changed.count(b"\r\n--b") == 3_001


WORDS = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"--b", b"--", b"\r\n--b\r\n", b"\r\n--c\r\n", b"\r\n--b--", b" ",
     b"\0", b"\xff", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822",
     b"x", b"Content-Type: multipart/digest; boundary=c\r\n", BINARY]
)  # fmt: skip
MESSAGES = st.lists(WORDS | st.binary(max_size=100), max_size=40).map(b"".join)


@given(MESSAGES, st.lists(st.integers(0, 500), max_size=6))
def test_the_pieces_do_not_matter_and_only_lines_come_out(octets, cuts):
    places = sorted({0, *(min(cut, len(octets)) for cut in cuts), len(octets)})
    pieces = [octets[a:b] for a, b in itertools.pairwise(places)]

    changed = converted(octets)

    assert converted(*pieces) == changed
    assert changed.count(b"\r\n") == changed.count(b"\r") == changed.count(b"\n")
    assert changed.endswith(b"\r\n") or not changed


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=4), st.integers(1, 200))
def test_binary_parts_come_out_as_they_went_in(bodies, step):
    bodies = [body.replace(b"--bound", b"") for body in bodies]
    whole = multipart(*(BINARY + b"\r\n" + body for body in bodies), fields=BINARY)

    changed = converted(*(whole[at : at + step] for at in range(0, len(whole), step)))

    assert leaves(changed) == bodies
    assert all(len(line) <= 78 for line in changed.split(b"\r\n"))
