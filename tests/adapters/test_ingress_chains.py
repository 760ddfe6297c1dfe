"""ARC chains of others, sealed by dkimpy, as ingress finds them."""

import re

import pytest

from services.ingress.checks.chains import check_chain
from services.ingress.checks.names import NamesUnavailableError
from services.ingress.inspection import Inspection
from tests.support.corpus import FROM_OURS
from tests.support.mail import MESSAGE, NOON
from tests.support.signing import OFFER, chain_verdict, rsa_key, sealed, signed

ONCE = sealed(signed(MESSAGE))
TWICE = sealed(ONCE, results="arc=pass")
ENDED = sealed(ONCE, results="arc=fail")


RECORD = rsa_key(2048)[1]


class Answers:
    def __init__(self, record):
        self.record = record

    async def ask(self, name, kind):
        if self.record is None:
            raise NamesUnavailableError(name)
        is_there = self.record and name == "s1._domainkey.relay.test"
        return [self.record] if is_there else []


async def result_of(message, record=RECORD):
    arrival = Inspection(message).arrival(OFFER, NOON, lambda: None)
    return await check_chain(arrival, arrival.chain, Answers(record))


def test_the_examples_are_what_they_are_meant_to_be():
    assert [chain_verdict(message) for message in (ONCE, TWICE)] == ["pass of 1", "pass of 2"]
    assert chain_verdict(ENDED) == "ended of 2"


@pytest.mark.parametrize("message", [ONCE, TWICE], ids=["once", "twice"])
async def test_a_chain_that_holds_passes(message):
    assert str(await result_of(message)) == "arc=pass smtp.remote-ip=192.0.2.1"


@pytest.mark.parametrize("name", ["no body", "empty lines at the end", "SMTPUTF8", "two subjects"])
async def test_so_does_that_of_an_awkward_message(name):
    assert (await result_of(sealed(FROM_OURS[name]))).result == "pass"


def _without(name, number):
    return lambda message: re.sub(
        rb"(?i)%b:[^\r]* ?i=%d;(?:[^\r]|\r\n[ \t])*\r\n" % (name, number), b"", message, count=1
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.replace(b"\r\nhi", b"\r\nho"),
        lambda message: message.replace(b"hello", b"holla"),
        lambda message: message.replace(b"arc=pass", b"arc=none"),
        lambda message: message.replace(b"cv=none", b"cv=pass"),
        lambda message: message.replace(b"i=1;", b"i=3;"),
        lambda message: message.replace(b"a=rsa-sha256", b"a=rsa-sha1"),
        lambda message: message.replace(b"d=relay.test", b"d=-relay.test"),
        lambda message: message.replace(b"d=relay.test", b"d=other.test"),
        lambda message: message.replace(b"ARC-Seal: ", b"ARC-Seal: h=from; "),
        _without(b"ARC-Seal", 1),
        _without(b"ARC-Message-Signature", 2),
        _without(b"ARC-Authentication-Results", 1),
        lambda message: b"ARC-Seal: i=2; cv=pass\r\n" + message,
        lambda message: b"ARC-Seal: nonsense\r\n" + message,
        lambda message: b"ARC-Seal: i=\xff\r\n" + message,
    ],
)
async def test_one_that_was_touched_fails(change):
    message = change(TWICE)

    assert message != TWICE
    assert (await result_of(message)).result == "fail"


async def test_one_that_was_found_broken_before_has_failed_for_good():
    result = await result_of(ENDED)

    assert (result.result, result.reason) == ("fail", "found broken before")


@pytest.mark.parametrize(
    ("record", "result"), [("", "fail"), ("v=DKIM1; p=", "fail"), (None, "temperror")]
)
async def test_without_its_keys_a_chain_does_not_hold_or_is_in_doubt(record, result):
    assert (await result_of(ONCE, record)).result == result


def test_most_messages_have_none():
    assert Inspection(signed(MESSAGE)).arrival(OFFER, NOON, lambda: None).chain is None
