"""DKIM as we read it, with dkimpy as the oracle."""

import base64
import re
from hashlib import sha256
from itertools import pairwise

import dkim
import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from kernel.dkim.bodyhash import BodyHash
from kernel.dkim.canon import Canon
from kernel.dkim.fields import join_header, split_header
from services.ingress.core.dkim import (
    MAX_SIGNATURES,
    BadSignatureError,
    Signature,
    parse_key,
    signatures_in,
    signed_octets,
)
from tests.support.signing import rsa_key, signed

MESSAGE = (
    b"From: Bob <bob@elsewhere.test>\r\nSubject:  a \t folded\r\n\t subject \r\n"
    b"X-Twice: one\r\nX-Twice: two\r\n\r\nhi  there \t\r\n\r\nbye\r\n\r\n\r\n"
)
GOOD = (
    "v=1; a=rsa-sha256; c=relaxed/relaxed; d=x.test; s=s1; h=from:subject; bh=AAAA; b=BBBB; {more}"
)
bodies = st.lists(st.sampled_from([b"a", b"bc", b" ", b"\t", b"  ", b"\r\n", b"\r\n\r\n"])).map(
    b"".join
)


def signature_of(text):
    (one,) = signatures_in(split_header(f"DKIM-Signature: {text}\r\n".encode()))
    return one


def digest(body, canon, cuts=()):
    reader = BodyHash(canon)
    edges = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(edges):
        reader.feed(body[start:end])
    return reader.digest(), reader.is_partial


def by_dkimpy(body, *, relaxed):
    return sha256((Relaxed if relaxed else Simple).canonicalize_body(body)).digest()


@given(body=bodies, relaxed=st.booleans(), data=st.data())
def test_a_body_hashes_the_same_however_it_is_cut(body, relaxed, data):
    body += b"\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=5))

    assert digest(body, Canon(relaxed, None), cuts)[0] == by_dkimpy(body, relaxed=relaxed)


@given(
    pieces=st.lists(st.sampled_from([b"a", b" ", b"\t ", b"\r\n", b"\r", b"\n", b"\0"])),
    last=st.sampled_from([b"", b"x", b"x\n", b"\r", b"\n\r\n", b"\n\r\r\n"]),
    relaxed=st.booleans(),
    data=st.data(),
)
def test_a_binary_body_hashes_as_it_is_but_for_its_lines(pieces, last, relaxed, data):
    body = b"".join(pieces) + b"x" + last
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=5))
    canonical = body
    if relaxed:
        canonical = re.sub(rb"[ \t]+", b" ", canonical).replace(b" \r\n", b"\r\n")
    canonical = re.sub(rb"(?:\r\n)*\Z", b"", canonical, count=1) + b"\r\n"

    assert digest(body, Canon(relaxed, None), cuts)[0] == sha256(canonical).digest()


def test_an_empty_body_is_one_line_or_nothing():
    nothing = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # RFC 6376 §3.4.4
    a_line = "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="  # RFC 6376 §3.4.3

    assert digest(b"", Canon(relaxed=True, limit=None))[0] == base64.b64decode(nothing)
    assert digest(b"", Canon(relaxed=False, limit=None))[0] == base64.b64decode(a_line)


def test_who_signs_a_part_of_the_body_is_found_out():
    whole, is_partial = digest(b"one\r\ntwo\r\n", Canon(relaxed=True, limit=5))

    assert is_partial
    assert whole == digest(b"one\r\n", Canon(relaxed=True, limit=None))[0]
    assert not digest(b"one\r\n\r\n", Canon(relaxed=True, limit=5))[1]


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
def test_we_cover_the_octets_that_others_sign(header, body):
    message = signed(MESSAGE, canonicalize=(header, body))
    head, _, text = message.partition(b"\r\n\r\n")
    fields = split_header(head + b"\r\n")
    (signature,) = signatures_in(fields)
    policy = dkim.CanonicalizationPolicy.from_c_value(header + b"/" + body)
    seen = []

    class Listening:
        def update(self, octets):
            seen.append(octets)

    dkim.hash_headers(
        Listening(),
        policy,
        policy.canonicalize_headers(dkim.DKIM(message).headers),
        [name.strip().encode() for name in signature.names],
        (b"DKIM-Signature", signature.field.value + b"\r\n"),
        dkim.util.parse_tag_value(signature.field.value),
    )

    assert signed_octets(signature, fields) == b"".join(seen)
    assert digest(text, signature.canon)[0] == signature.body_hash


@given(raws=st.lists(st.sampled_from([b"A: 1", b"B:\r\n 2", b"no field", b"C : 3\r\n\t4"])))
def test_a_header_is_the_sum_of_its_fields(raws):
    header = b"".join(raw + b"\r\n" for raw in raws)

    assert join_header(split_header(header)) == header


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("v=1", "neutral"),
        ("nonsense", "neutral"),
        (GOOD.format(more="d=twice.test"), "neutral"),
        (GOOD.format(more="").replace("v=1", "v=2"), "neutral"),
        (GOOD.format(more="").replace("rsa-sha256", "rsa-sha1"), "policy"),
        (GOOD.format(more="").replace("from:subject", "subject"), "permerror"),
        (GOOD.format(more="i=@y.test"), "permerror"),
        (GOOD.format(more="i=@notx.test"), "permerror"),
        (GOOD.format(more="q=carrier/pigeon"), "neutral"),
        (GOOD.format(more="x=soon"), "neutral"),
        (GOOD.format(more="").replace("AAAA", "A!"), "neutral"),
        (GOOD.format(more="").replace("x.test", "x..test"), "neutral"),
        (GOOD.format(more="").replace("relaxed/relaxed", "loose"), "neutral"),
    ],
)
def test_a_signature_may_be_none(text, result):
    found = signature_of(text)

    assert isinstance(found, BadSignatureError)
    assert found.result == result


def test_a_signature_says_where_its_key_is():
    found = signature_of(GOOD.format(more="i=bob@sub.X.test; l=7; x=99"))

    assert isinstance(found, Signature)
    assert found.key_name == "s1._domainkey.x.test"
    assert found.canon == Canon(relaxed=True, limit=7)
    assert (found.identity, found.expires) == ("sub.x.test", 99)


def test_only_so_many_signatures_are_looked_at():
    header = f"DKIM-Signature: {GOOD}\r\n".encode() * 50

    assert len(signatures_in(split_header(header))) == MAX_SIGNATURES


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=DKIM1; p=", "key revoked"),
        ("v=DKIM2; p=AAAA", "inapplicable key"),
        ("k=ed25519; p=AAAA", "inapplicable key"),
        ("h=sha1; p=AAAA", "inapplicable hash"),
        ("s=web; p=AAAA", "inapplicable service"),
        ("t=y:s; p=AAAA", "i= is not d="),
        ("k=rsa", "malformed key"),
        ("v=spf1 -all", "malformed key"),
    ],
)
def test_a_key_may_not_fit(record, reason):
    with pytest.raises(BadSignatureError) as caught:
        parse_key(record, signature_of(GOOD.format(more="i=@sub.x.test")))

    assert (caught.value.result, str(caught.value)) == ("permerror", reason)


def test_a_key_that_fits_is_taken():
    assert parse_key(rsa_key(2048)[1], signature_of(GOOD.format(more=""))).type == "rsa"
