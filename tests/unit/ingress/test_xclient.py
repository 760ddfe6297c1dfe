"""XCLIENT: who is believed, and what of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingress.core.effects import Admit, Introduced
from services.ingress.core.replies import TOO_MANY_CONNECTIONS
from services.ingress.core.xclient import parse_xclient
from tests.unit.ingress.talk import ENVELOPE, GREETING, HELLO, LISTENER, TLS, talk

HERE = "192.0.2.1"
FROM_THERE = b"XCLIENT NAME=c.example ADDR=203.0.113.9 PORT=4711 PROTO=ESMTP HELO=c.example\r\n"


def trusted(*pieces, **options):
    return talk(*pieces, trusts=lambda client: client == HERE, **options)


@pytest.mark.parametrize(
    ("argument", "client"),
    [
        ("ADDR=203.0.113.9", "203.0.113.9"),
        ("addr=IPV6:2001:DB8::9 name=[UNAVAILABLE]", "2001:db8::9"),
        ("ADDR=IPv6:::ffff:203.0.113.9", "203.0.113.9"),
        ("ADDR=203.0.113.9 LOGIN=[UNAVAILABLE]", "203.0.113.9"),
        ("NAME=a+2Bb HELO=x", HERE),
        ("ADDR=203.0.11+33.9", "203.0.113.9"),
    ],
)
def test_an_address_is_believed(argument, client):
    assert parse_xclient(argument, HERE) == client


@pytest.mark.parametrize(
    "argument",
    ["", "ADDR", "ADDR=", "ADDR=[UNAVAILABLE]", "ADDR=[203.0.113.9]", "ADDR=2001:db8::9",
     "ADDR=IPV6:203.0.113.9", "ADDR=IPV6:fe80::1%eth0", "ADDR=203.0.113.9 ADDR=192.0.2.2",
     "LOGIN=ann", "ADDR=203.0.113.9 LOGIN=ann", "DESTADDR=192.0.2.2", "COLOUR=red", "ADDR=a+b"],
)  # fmt: skip
def test_nothing_else_is(argument):
    assert parse_xclient(argument, HERE) is None


@given(st.text(max_size=80))
def test_every_argument_has_an_answer(text):
    parse_xclient(text, HERE)
    parse_xclient(f"ADDR={text}", HERE)


def test_who_is_not_trusted_is_offered_nothing():
    one = talk(HELLO, FROM_THERE, ENVELOPE)

    assert b"XCLIENT" not in one.said
    assert one.codes == ["250", "500", "250", "250"]
    assert [question.client for question in one.asked] == [HERE]


def test_all_that_follows_is_about_whom_the_front_speaks_for():
    one = trusted(HELLO, FROM_THERE + HELLO + ENVELOPE + b"DATA\r\n.\r\n")

    assert b"250 XCLIENT NAME ADDR PORT PROTO HELO\r\n" in one.said
    assert GREETING in one.said
    assert Introduced("203.0.113.9") in one.others
    assert [question.client for question in one.asked] == ["203.0.113.9"]
    [(offer, _)] = one.mails
    assert (offer.client, offer.helo) == ("203.0.113.9", "client.example")


def test_there_has_to_be_a_place_for_it():
    one = trusted(HELLO, answering=False)

    one.send(FROM_THERE + HELLO)
    assert one.codes == ["250"]
    one.act(one.core.introduced(TOO_MANY_CONNECTIONS))

    assert one.codes == ["250", "421"]
    assert one.core.is_closed


def test_everything_begins_anew():
    login = b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
    one = trusted(HELLO, login, FROM_THERE, b"MAIL FROM:<>\r\n", HELLO + ENVELOPE, tls=TLS)

    assert one.codes[-5:] == ["220", "503", "250", "250", "250"]
    assert [question.login for question in one.asked] == [""]


def test_it_stands_before_mail():
    one = trusted(HELLO, ENVELOPE, FROM_THERE, b"DATA\r\n")

    assert one.codes[-2:] == ["503", "354"]
    assert [question.client for question in one.asked] == [HERE]


def test_whom_it_speaks_for_has_to_be_admitted():
    one = trusted(HELLO, FROM_THERE + HELLO, listener=replace(LISTENER, restricted=True))

    assert [effect.question.client for effect in one.others if isinstance(effect, Admit)] == [
        HERE,
        "203.0.113.9",
    ]
    assert one.codes[-2:] == ["220", "250"]
