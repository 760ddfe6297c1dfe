"""One signature, its key in DNS, and what comes of it."""

import base64
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kernel.dkim.fields import split_header
from kernel.names import NamesUnavailableError
from services.ingress.checks.signatures import check_signature
from services.ingress.core.dkim import signatures_in, signed_octets
from services.ingress.inspection import Inspection
from tests.support.mail import MESSAGE, NOON
from tests.support.signing import OFFER, rsa_key, signed


class Answers:
    def __init__(self, *records):
        self.records = records

    async def ask(self, name, kind):
        assert (name, kind) == ("s1._domainkey.elsewhere.test", "TXT")
        if None in self.records:
            raise NamesUnavailableError(name)
        return list(self.records)


async def outcome(message, *records, at=NOON):
    arrival = Inspection(message).arrival(OFFER, at, lambda: None)
    result = await check_signature(arrival, arrival.signatures[0], Answers(*records))
    return result.result, result.reason


@pytest.mark.parametrize("bits", [1024, 2048, 4096])
async def test_a_right_signature_passes(bits):
    assert await outcome(signed(MESSAGE, bits=bits), rsa_key(bits)[1]) == ("pass", "")


async def test_a_signature_by_ed25519_passes():
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = f"v=DKIM1; k=ed25519; p={base64.b64encode(public).decode()}"
    unsigned = signed(MESSAGE).replace(b"rsa-sha256", b"ed25519-sha256")
    head, _, body = unsigned.partition(b"\r\n\r\n")
    fields = split_header(head + b"\r\n")
    (signature,) = signatures_in(fields)
    octets = signed_octets(signature, fields)
    ours = base64.b64encode(key.sign(sha256(octets).digest()))
    own = octets[octets.index(b"dkim-signature:") :]
    message = own + ours + b"\r\n" + b"\r\n".join(f.raw for f in fields[1:]) + b"\r\n\r\n" + body

    assert await outcome(message, record) == ("pass", "")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ("permerror", "no key")),
        ([None], ("temperror", "no answer about the key")),
        (["v=DKIM1; p=AAAA"], ("permerror", "malformed key")),
        ([rsa_key(1024)[1]], ("fail", "signature did not verify")),
    ],
    ids=["no key", "no answer", "nonsense", "another key"],
)
async def test_the_key_may_be_at_fault(records, expected):
    assert await outcome(signed(MESSAGE), *records) == expected


@pytest.mark.parametrize(
    ("old", "new"), [(b"Subject: hello", b"Subject: hullo"), (b"From: ann", b"From: bob")]
)
async def test_a_changed_header_is_noticed(old, new):
    message = signed(MESSAGE).replace(old, new)

    assert await outcome(message, rsa_key(2048)[1]) == ("fail", "signature did not verify")


async def test_a_second_author_is_noticed_where_that_was_signed_against():
    message = b"From: ceo@bank.test\r\n" + signed(MESSAGE)

    assert await outcome(message, rsa_key(2048)[1]) == ("fail", "signature did not verify")


async def test_a_part_of_a_body_is_not_good_enough():
    message = signed(MESSAGE, length=True) + b"and an advertisement\r\n"

    expected = ("policy", "covers a part of the body only")
    assert await outcome(message, rsa_key(2048)[1]) == expected


async def test_signatures_expire():
    x = f"; x={int(NOON.timestamp())}".encode()
    message = signed(MESSAGE).replace(b"; s=s1", b"; s=s1" + x)

    assert (await outcome(message, rsa_key(2048)[1]))[1] == "signature did not verify"
    late = NOON + timedelta(seconds=1)
    assert await outcome(message, rsa_key(2048)[1], at=late) == ("fail", "signature expired")
