"""Which fields a signature covers, by which keys, and how it is written down."""

import base64
import hashlib
from collections import Counter

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.dkim.bodyhash import BodyHash
from kernel.dkim.canon import Canon
from kernel.dkim.fields import split_header
from kernel.dkim.tags import parse_tags
from kernel.model.sending import Sending
from services.delivery.core.signing import (
    OVERSIGNED,
    Covered,
    keys_for,
    names_to_sign,
    signature,
)
from tests.support.signing import signing_key, verdicts

KEY = signing_key("ed25519")
PRIVATE = load_pem_private_key(KEY.private.encode(), None)
OURS = Sending(keys=(KEY, signing_key("rsa")), domains=("ours.test",))


def sign(octets):
    return PRIVATE.sign(hashlib.sha256(octets).digest())


def signed(header, body):
    reader = BodyHash(Canon(relaxed=True))
    reader.feed(body)
    return signature(KEY, Covered(split_header(header), reader.digest(), 1_767_614_400), sign)


def names_in(header):
    return Counter(names_to_sign(split_header(header)))


def test_what_people_are_shown_is_signed_once_more_than_it_is_there():
    names = names_in(b"From: a@x\r\nSubject: 1\r\nSubject: 2\r\nX-Mine: x\r\n")

    assert names == Counter(OVERSIGNED) + Counter({"from": 1, "subject": 2})


def test_what_lists_add_is_signed_as_often_as_it_is_there():
    names = names_in(b"List-Id: x\r\nList-Unsubscribe-Post: x\r\nSender: x\r\nResent-To: x\r\n" * 2)

    assert names - Counter(OVERSIGNED) == Counter(
        {"list-id": 2, "list-unsubscribe-post": 2, "sender": 2, "resent-to": 2}
    )


def test_what_changes_on_every_way_is_not_signed():
    assert names_in(b"Received: x\r\nReturn-Path: x\r\nDKIM-Signature: x\r\n") == Counter(
        OVERSIGNED
    )


def test_a_signature_says_what_rfc_6376_wants():
    field = signed(b"From: ann@ours.test\r\n", b"hi\r\n")
    tags = parse_tags(field.value.decode())

    assert list(tags) == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
    assert (tags["v"], tags["a"], tags["c"]) == ("1", "ed25519-sha256", "relaxed/relaxed")
    assert (tags["d"], tags["s"], tags["t"]) == ("ours.test", "ed25519", "1767614400")
    assert tags["h"].replace("\r\n\t ", "").split(":")[:3] == ["from", "from", "reply-to"]
    assert base64.b64decode(tags["bh"]) == hashlib.sha256(b"hi\r\n").digest()
    assert max(map(len, field.raw.split(b"\r\n"))) <= 78


def test_all_keys_in_use_sign():
    assert keys_for(split_header(b"From: ann@ours.test\r\n"), OURS) == OURS.keys


@pytest.mark.parametrize("author", ["ann@test", "ann@[192.0.2.1]", "ann@notours.test", "ann"])
def test_nobody_signs_for_others(author):
    assert keys_for(split_header(f"From: {author}\r\n".encode()), OURS) == ()


def test_a_domain_that_is_no_longer_ours_signs_nothing():
    gone = Sending(keys=(KEY,), domains=("other.test",))

    assert keys_for(split_header(b"From: ann@ours.test\r\n"), gone) == ()


names = st.sampled_from(
    ["From", "Subject", "SUBJECT", "To", "Cc", "Reply-To", "Date", "List-Id", "X-Odd", "Sender"]
)
texts = st.lists(
    st.sampled_from(["word", "  ", "\t", "ä", "\r\n ", "\r\n\t", "a:b;c", "=?utf-8?q?x?=", "\x07"])
).map("".join)
fields = st.builds(lambda name, text: f"{name}:{text}\r\n", names, texts)
headers = st.lists(fields.filter(lambda field: not field.startswith("From")), max_size=8).map(
    "".join
)
bodies = st.lists(
    st.sampled_from([b"a", b"bc", b" ", b"\t", b"\r\n", b"\r\n\r\n", b".\r\n", b"\xff", b"\x00"])
).map(b"".join)


@settings(deadline=None)
@given(headers, headers, bodies)
def test_whatever_is_signed_verifies(above, below, body):
    """As dkimpy sees it. The last line is ended, as it is when signed text goes out."""
    header = f"{above}From: ann@ours.test\r\n{below}".encode()
    body += b"" if not body or body.endswith(b"\r\n") else b"\r\n"

    field = signed(header, body)

    assert verdicts(field.raw + b"\r\n" + header + b"\r\n" + body, KEY) == {"ed25519": True}
