"""What leaves us is signed as it goes over the wire; dkimpy, which is not ours, verifies it."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from kernel.blobs.port import BlobMissingError
from kernel.model.events import Remote
from services.delivery.adapters import signing
from services.delivery.metrics import SIGNATURES
from services.ingress.checks.signatures import check_signature
from services.ingress.inspection import Inspection
from tests.support.corpus import BLANKS_BEFORE_COLONS, FROM_OURS
from tests.support.house import EVERYTHING, House
from tests.support.mail import BOB, CAT, EVE, MAIL_ID, NOON
from tests.support.signing import OFFER, published, signing_key, verdicts

RSA, ED25519 = signing_key("rsa"), signing_key("ed25519")
BOTH = {"rsa": True, "ed25519": True}
IN_CHUNKS = EVERYTHING.replace("8BITMIME", "8BITMIME\r\n250-CHUNKING")


class Dns:
    async def ask(self, name, kind):
        return [published(RSA, ED25519)[name]]


async def sent(content, *keys, **changes):
    """Return a message of Ann's as the remote gets it."""
    house = House(*keys)
    return (await house.carry(house.leg(content, **changes))).contents[0]


@pytest.mark.parametrize("ehlo", [EVERYTHING, IN_CHUNKS], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("as_blob", ["", MAIL_ID], ids=["inline", "blob"])
async def test_awkward_messages_verify_at_the_other_end(as_blob, ehlo):
    house = House(RSA, ED25519)
    legs = [
        house.leg(text, as_blob=as_blob and f"{MAIL_ID}{n}")
        for n, text in enumerate(FROM_OURS.values())
    ]

    there = await house.carry(*legs, ehlo=ehlo)

    arrived = dict(zip(FROM_OURS, there.contents, strict=True))
    wrong = {
        name: found
        for name, text in arrived.items()
        if (found := verdicts(text, RSA, ED25519)) != BOTH
    }
    assert wrong == {}
    for name, text in FROM_OURS.items():
        assert arrived[name].endswith(text.removesuffix(b"\r\n") + b"\r\n")


async def test_what_was_made_7_bit_for_a_server_is_signed_as_it_goes_there():
    house = House(RSA, ED25519)
    leg = house.leg(FROM_OURS["8-bit body"])

    narrow = await house.carry(leg, ehlo="250-there.test\r\n250 PIPELINING")
    wide = await house.carry(leg)

    assert narrow.contents[0].isascii()
    assert not wide.contents[0].isascii()
    for there in (narrow, wide):
        assert verdicts(there.contents[0], RSA, ED25519) == BOTH


async def test_what_dkimpy_cannot_read_verifies_as_ingress_does_it():
    arrived = await sent(BLANKS_BEFORE_COLONS, RSA, ED25519)

    arrival = Inspection(arrived).arrival(OFFER, NOON, lambda: None)
    results = [await check_signature(arrival, one, Dns()) for one in arrival.signatures]

    assert [result.result for result in results] == ["pass", "pass"]


@pytest.mark.parametrize("name", ["plain", "two subjects", "SMTPUTF8"])
async def test_nothing_that_people_see_can_be_added(name):
    arrived = await sent(FROM_OURS[name], RSA, ED25519)

    for field in (b"From: e@x.test\r\n", b"Subject: x\r\n", b"Reply-To: e@x.test\r\n"):
        below = arrived.replace(b"\r\nSubject:", b"\r\n" + field + b"Subject:", 1)
        for forged in (field + arrived, below):
            assert verdicts(forged, RSA, ED25519) == dict.fromkeys(BOTH, False)


async def test_what_lists_and_forwarders_add_does_no_harm():
    arrived = await sent(FROM_OURS["plain"], RSA)

    relisted = b"List-Id: <l.x.test>\r\nSender: l@x.test\r\nX-Loop: x\r\nReceived: x\r\n" + arrived

    assert verdicts(relisted, RSA) == {"rsa": True}


async def test_a_message_that_is_changed_does_not_verify():
    arrived = await sent(FROM_OURS["plain"], RSA, ED25519)

    assert verdicts(arrived.replace(b"hi", b"ho"), RSA, ED25519) == dict.fromkeys(BOTH, False)
    assert verdicts(arrived.replace(b"hello", b"holla"), RSA, ED25519) == dict.fromkeys(BOTH, False)


@pytest.mark.parametrize(
    ("author", "domain"),
    [
        (b"ann@ours.test", "ours.test"),
        (b"ann@sub.ours.test", "sub.ours.test"),
        (b"ann@deep.sub.ours.test", "sub.ours.test"),
        (b"ann@other.ours.test", "ours.test"),
        ("ann@bücher.test".encode(), "xn--bcher-kva.test"),
        (b"ann@xn--bcher-kva.test", "xn--bcher-kva.test"),
        (b"ann@ours.test, cat@ours.test", "ours.test"),
        (b"ann@ours.test, eve@stranger.test", None),
        (b"eve@stranger.test", None),
        (b"eve@notours.test", None),
        (b"ann@retired.test", None),
        (b"ann", None),
        (b"", None),
        (b"<<>>@", None),
    ],
)
async def test_the_author_s_domain_signs_or_the_nearest_above_it(author, domain):
    """RFC 6376 §3.5, RFC 8616 §5: d= in A-labels, whatever From is written in."""
    ours = ("ours.test", "sub.ours.test", "xn--bcher-kva.test")
    keys = [signing_key("ed25519", name) for name in (*ours, "retired.test")]
    house = House(*keys)
    house.sending = replace(house.sending, domains=ours)

    there = await house.carry(house.leg(b"Received: x\r\nFrom: " + author + b"\r\n\r\nhi\r\n"))

    tag = f"d={domain};".encode()
    assert tag in there.contents[0] if domain else b"DKIM" not in there.contents[0]
    assert set(verdicts(there.contents[0], *keys).values()) == ({True} if domain else set())


@pytest.mark.parametrize(
    "header",
    [b"From: ann@ours.test\r\nFrom: eve@x.test\r\n", b"From: ann@ours.test\r\n" * 2, b"To: x\r\n"],
)
async def test_nothing_is_signed_without_exactly_one_from(header):
    assert await sent(header + b"\r\nhi\r\n", RSA) == header + b"\r\nhi\r\n"


async def test_what_a_stranger_sent_is_not_signed():
    content = FROM_OURS["plain"]

    assert await sent(content, RSA, submitted=False) == content


async def test_a_key_that_cannot_sign_keeps_no_mail_and_no_other_key():
    broken = replace(RSA, private="-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")
    mislabelled = replace(ED25519, selector="mislabelled", algorithm="rsa")
    before = SIGNATURES.labels("dkim", "failed")._value.get()

    with capture_logs() as logs:
        arrived = await sent(FROM_OURS["plain"], broken, mislabelled, ED25519)

    assert verdicts(arrived, RSA, ED25519) == {"ed25519": True}
    assert [(line["log_level"], line["selector"], line["mail"]) for line in logs] == [
        ("error", "rsa", MAIL_ID),
        ("error", "mislabelled", MAIL_ID),
    ]
    assert SIGNATURES.labels("dkim", "failed")._value.get() == before + 2


async def test_a_header_too_big_to_be_kept_goes_unsigned():
    content = b"From: ann@ours.test\r\n" + b"X-Big: " + b"x" * 300_000 + b"\r\n\r\nhi\r\n"

    with capture_logs() as logs:
        assert await sent(content, RSA, as_blob=MAIL_ID) == content

    assert [line["log_level"] for line in logs] == ["error"]


@pytest.mark.parametrize("as_blob", ["", MAIL_ID], ids=["inline", "blob"])
async def test_a_mail_is_signed_once_however_many_legs_it_has(as_blob):
    house = House(RSA, ED25519)
    legs = [house.leg(FROM_OURS["plain"], as_blob, who) for who in (BOB, CAT, EVE)]

    before = SIGNATURES.labels("dkim", "made")._value.get()
    sign = house.preparer._signer.fields_for
    prepared = await asyncio.gather(*(sign(leg, leg.envelope.content) for leg in legs))

    assert len(set(prepared)) == 1
    assert SIGNATURES.labels("dkim", "made")._value.get() == before + 2


async def test_a_content_that_cannot_be_read_now_is_no_content_without_a_signature():
    house = House(RSA)
    leg = house.leg(FROM_OURS["plain"], MAIL_ID)
    kept = house.platform.blobs.blobs.pop(MAIL_ID)

    with pytest.raises(BlobMissingError):
        await house.carry(leg)

    house.platform.blobs.blobs[MAIL_ID] = kept
    assert verdicts((await house.carry(leg)).contents[0], RSA) == {"rsa": True}


async def test_a_fault_of_ours_keeps_no_mail(monkeypatch):
    def breaks(*_):
        raise RecursionError

    monkeypatch.setattr(signing, "keys_for", breaks)
    with capture_logs() as logs:
        assert await sent(FROM_OURS["plain"], RSA) == FROM_OURS["plain"]

    assert [line["log_level"] for line in logs] == ["error"]


async def test_other_keys_sign_again():
    house = House(RSA)
    leg = house.leg(FROM_OURS["plain"])

    first = (await house.carry(leg)).contents[0]
    house.sending = replace(house.sending, keys=(ED25519,))
    second = (await house.carry(leg)).contents[0]

    assert verdicts(first, RSA, ED25519) == {"rsa": True}
    assert verdicts(second, RSA, ED25519) == {"ed25519": True}


async def test_two_messages_of_one_id_have_each_its_own_signature():
    """A report that is made again after a crash tells another time."""
    house = House(RSA)
    texts = [FROM_OURS["plain"], FROM_OURS["plain"].replace(b"hi", b"ho")]

    there = await house.carry(*(house.leg(text) for text in texts))

    assert [verdicts(arrived, RSA) for arrived in there.contents] == [{"rsa": True}] * 2


async def test_the_server_is_told_the_size_of_what_it_gets():
    house = House(RSA)

    there = await house.carry(house.leg(FROM_OURS["plain"]))

    assert f"SIZE={len(there.contents[0])}" in there.heard("MAIL")[0]


async def test_what_is_large_is_announced_with_its_signatures():
    house = House(RSA)

    there = await house.carry(house.leg(FROM_OURS["as large as a blob"], as_blob=MAIL_ID))

    assert f"SIZE={len(there.contents[0])}" in there.heard("MAIL")[0]


async def test_a_sender_of_others_is_sealed_where_mail_is_forwarded():
    house = House(return_key=b"nobody knows this one")
    onward = Remote("elsewhere.test", forwarded=True)
    legs = [
        house.leg(b"", sender=EVE, hop=onward, submitted=False),
        house.leg(b"", hop=onward),
        house.leg(b"", sender=None, hop=onward, submitted=False),
        house.leg(b"", sender=EVE),
    ]

    there = await house.carry(*legs)

    senders = [line.partition("<")[2].partition(">")[0] for line in there.heard("MAIL")]
    assert senders[0].startswith("SRS0=")
    assert senders[0].endswith("=stranger.test=eve@ours.test")
    assert senders[1:] == ["ann@ours.test", "", "eve@stranger.test"]
