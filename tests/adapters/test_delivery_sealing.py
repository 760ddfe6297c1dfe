"""What we forward is sealed (ARC); dkimpy, which is not ours, verifies it where it arrives."""

from dataclasses import replace

import pytest

from kernel.model.events import Remote
from services.ingress.checks.chains import check_chain
from services.ingress.core.authres import AuthResult, field_for
from services.ingress.inspection import Inspection
from tests.support.corpus import FROM_OURS, RECEIVED
from tests.support.house import House
from tests.support.mail import EVE, MESSAGE, NOON
from tests.support.signing import (
    OFFER,
    chain_verdict,
    published,
    rsa_key,
    sealed,
    signed,
    signing_key,
    verdicts,
)

RSA, ED25519 = signing_key("rsa"), signing_key("ed25519")
ONWARD = Remote("elsewhere.test", forwarded=True)
PASSED = (
    AuthResult("spf", "pass", (("smtp.mailfrom", "stranger.test"),)),
    AuthResult("dkim", "fail", (("header.d", "x.test"),), "it; arc=fail"),
)


def received(message, *results):
    """Return what ingress makes of a stranger's message."""
    return field_for("mx.ours.test", results or PASSED) + RECEIVED + message


def arc(result):
    return AuthResult("arc", result)


async def forwarded(content, *keys, submitted=False, as_blob="", hop=ONWARD):
    house = House(*(keys or (RSA, ED25519)))
    there = await house.carry(house.leg(content, as_blob, sender=EVE, submitted=submitted, hop=hop))
    return there.contents[0]


@pytest.mark.parametrize("as_blob", ["", "blob"], ids=["inline", "blob"])
async def test_what_is_forwarded_has_a_seal_that_holds(as_blob):
    content = received(signed(MESSAGE))

    arrived = await forwarded(content, as_blob=as_blob)

    assert chain_verdict(arrived, RSA) == "pass of 1"
    assert arrived.startswith(b"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=ours.test; s=rsa; t=")
    assert b"ARC-Authentication-Results: i=1; mx.ours.test;\r\n\tspf=pass" in arrived
    assert arrived.endswith(content)
    assert verdicts(arrived, RSA, ED25519) == {}


async def test_awkward_messages_are_sealed_as_well():
    house = House(RSA)
    texts = [received(text.removeprefix(RECEIVED)) for text in FROM_OURS.values()]

    there = await house.carry(*(house.leg(t, submitted=False, hop=ONWARD) for t in texts))

    found = dict(zip(FROM_OURS, (chain_verdict(text, RSA) for text in there.contents), strict=True))
    assert {name: verdict for name, verdict in found.items() if verdict != "pass of 1"} == {}


async def test_a_chain_that_held_goes_on():
    content = received(sealed(sealed(MESSAGE), results="arc=pass"), arc("pass"))

    arrived = await forwarded(content)

    assert chain_verdict(arrived, RSA) == "pass of 3"
    assert arrived.startswith(b"ARC-Seal: i=3; cv=pass;")


async def test_our_own_ingress_lets_a_chain_of_ours_pass():
    arrived = await forwarded(received(sealed(MESSAGE), arc("pass")))

    class Dns:
        async def ask(self, name, kind):
            records = published(RSA) | {"s1._domainkey.relay.test": rsa_key(2048)[1]}
            return [records[name]]

    arrival = Inspection(arrived).arrival(OFFER, NOON, lambda: None)
    assert (await check_chain(arrival, arrival.chain, Dns())).result == "pass"


async def test_a_chain_that_broke_is_sealed_as_broken_and_ends_there():
    broken = received(sealed(MESSAGE).replace(b"hello", b"holla"), arc("fail"))

    arrived = await forwarded(broken)

    assert arrived.startswith(b"ARC-Seal: i=2; cv=fail;")
    assert chain_verdict(arrived, RSA).startswith("ended")
    assert await forwarded(received(arrived, arc("fail"))) == received(arrived, arc("fail"))


@pytest.mark.parametrize(
    "content",
    [
        RECEIVED + MESSAGE,
        RECEIVED + field_for("mx.ours.test", PASSED) + MESSAGE,
        field_for("mx.elsewhere.test", PASSED) + RECEIVED + MESSAGE,
        received(sealed(MESSAGE)),
        received(sealed(MESSAGE), arc("temperror")),
        received(b"ARC-Seal: nonsense\r\n" + MESSAGE, arc("fail")),
        received(b"ARC-Seal: i=50; a=b\r\n" + MESSAGE, arc("fail")),
        received(b"ARC-Seal: i=1; cv=none\r\n" + MESSAGE, arc("pass")),
    ],
    ids=[
        "nothing was checked",
        "it is not ours that says so",
        "somebody else checked it",
        "the chain was not checked",
        "the chain could not be checked",
        "it has no numbers",
        "it is too long",
        "it is none",
    ],
)
async def test_where_nothing_is_known_nothing_is_sealed(content):
    assert await forwarded(content) == content


async def test_only_what_a_stranger_sent_and_we_forward_is_sealed():
    content = received(MESSAGE)

    assert await forwarded(content, submitted=True, hop=Remote("elsewhere.test")) != content
    assert b"ARC-" not in await forwarded(content, submitted=True)
    assert await forwarded(content, hop=Remote("elsewhere.test")) == content


@pytest.mark.parametrize(
    "keys", [(ED25519,), (signing_key("rsa", "other.test"),), (replace(RSA, private="broken"),)]
)
async def test_without_an_rsa_key_of_our_domain_nothing_is_sealed(keys):
    content = received(MESSAGE)

    assert await forwarded(content, *keys) == content


async def test_a_seal_breaks_when_the_message_is_touched():
    arrived = await forwarded(received(MESSAGE))

    for old, new in ((b"\r\nhi", b"\r\nho"), (b"hello", b"holla"), (b"spf=pass", b"spf=fail")):
        assert chain_verdict(arrived.replace(old, new), RSA).startswith("fail")
