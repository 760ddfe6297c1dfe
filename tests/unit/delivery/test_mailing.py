from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import Body, Recipient
from kernel.stuffing import Stuffer, stuffed
from services.delivery.core.mailing import (
    NEEDS_8BITMIME,
    NEEDS_BINARYMIME,
    NEEDS_REQUIRETLS,
    NEEDS_SMTPUTF8,
    TOO_LARGE,
    Mailing,
    mail_command,
    obstacle,
    rcpt_command,
    unreachable,
)
from tests.support.mail import BOB, make_envelope

EVERYTHING = {"SIZE": "", "8BITMIME": "", "SMTPUTF8": "", "DSN": "", "PIPELINING": ""}
GROESSE = Address.parse("größe@elsewhere.test")
EIGHT_BIT = "Subject: x\r\n\r\nGrüße\r\n".encode()
BINARY = b"Subject: x\r\n\r\n\0\r\n"
UTF8_HEADERS = "Subject: Grüße\r\n\r\n".encode()


def make_mailing(*recipients, content=b"hi\r\n", **changes):
    envelope = replace(make_envelope(*(recipients or (BOB,)), content=content), **changes)
    return Mailing(envelope, content, eight_bit=not content.isascii())


@pytest.mark.parametrize(
    ("mailing", "offers", "reply"),
    [
        (make_mailing(), {}, None),
        (make_mailing(content=b"x" * 11), {"SIZE": "10"}, TOO_LARGE),
        (make_mailing(content=b"x" * 11), {"SIZE": "0"}, None),
        (make_mailing(content=b"x" * 11), {"SIZE": "lots"}, None),
        (make_mailing(content=EIGHT_BIT), {}, NEEDS_8BITMIME),
        (make_mailing(content=EIGHT_BIT), {"8BITMIME": ""}, None),
        (make_mailing(body=Body.EIGHT_BIT), {}, None),
        (make_mailing(body=Body.BINARY), {}, None),
        (make_mailing(content=EIGHT_BIT, body=Body.BINARY), {}, NEEDS_8BITMIME),
        (make_mailing(content=b"x" * 998 + b"\r\n", body=Body.BINARY), {}, None),
        (make_mailing(content=b"x" * 999 + b"\r\n", body=Body.BINARY), {}, NEEDS_BINARYMIME),
        (make_mailing(content=b"a\nb\r\n", body=Body.BINARY), {}, NEEDS_BINARYMIME),
        (make_mailing(content=BINARY, body=Body.BINARY), EVERYTHING, NEEDS_BINARYMIME),
        (make_mailing(content=BINARY, body=Body.BINARY), {"BINARYMIME": ""}, NEEDS_BINARYMIME),
        (make_mailing(content=BINARY, body=Body.BINARY), {"BINARYMIME": "", "CHUNKING": ""}, None),
        (make_mailing(sender=GROESSE), {"8BITMIME": ""}, NEEDS_SMTPUTF8),
        (make_mailing(sender=GROESSE), EVERYTHING, None),
        (make_mailing(content=UTF8_HEADERS, smtputf8=True), {"8BITMIME": ""}, NEEDS_SMTPUTF8),
        (make_mailing(content=EIGHT_BIT, smtputf8=True), {"8BITMIME": ""}, None),
        (make_mailing(smtputf8=True), {}, None),
        (make_mailing(requiretls=True), EVERYTHING, NEEDS_REQUIRETLS),
        (make_mailing(requiretls=True), {"REQUIRETLS": ""}, None),
        (make_mailing(requiretls=True, sender=None), EVERYTHING, None),
    ],
    ids=[
        "nothing special",
        "over the announced size",
        "size 0 is no limit",
        "a size that is no number is no limit",
        "8-bit to a 7-bit server",
        "8-bit where offered",
        "declared 8-bit, in fact 7-bit",
        "declared binary, in fact text",
        "declared binary, in fact 8-bit",
        "declared binary, with a line just short enough",
        "declared binary, with a line too long",
        "declared binary, with a line feed alone",
        "binary",
        "binary where nothing but DATA is offered",
        "binary where offered",
        "international sender",
        "international sender where offered",
        "international headers",
        "declared international, but only the body is 8-bit",
        "declared international, in fact ASCII",
        "under TLS alone, without a promise",
        "under TLS alone, with one",
        "a report, under TLS if possible",
    ],
)
def test_some_servers_cannot_have_a_message(mailing, offers, reply):
    assert obstacle(mailing, offers) == reply


def test_only_the_international_recipient_fails_where_names_are_ascii():
    assert unreachable(make_mailing(BOB, GROESSE), {}) == {GROESSE: NEEDS_SMTPUTF8}
    assert unreachable(make_mailing(BOB, GROESSE), EVERYTHING) == {}


@pytest.mark.parametrize(
    ("mailing", "offers", "command"),
    [
        (make_mailing(), {}, "MAIL FROM:<ann@ours.test>"),
        (make_mailing(sender=None), {}, "MAIL FROM:<>"),
        (make_mailing(), {"SIZE": ""}, "MAIL FROM:<ann@ours.test> SIZE=4"),
        (
            make_mailing(content=EIGHT_BIT),
            {"8BITMIME": ""},
            "MAIL FROM:<ann@ours.test> BODY=8BITMIME",
        ),
        (make_mailing(GROESSE), {"SMTPUTF8": ""}, "MAIL FROM:<ann@ours.test> SMTPUTF8"),
        (make_mailing(sender=GROESSE), {"SMTPUTF8": ""}, f"MAIL FROM:<{GROESSE}> SMTPUTF8"),
        (
            make_mailing(ret="FULL", envid="a+3Db"),
            {"DSN": ""},
            "MAIL FROM:<ann@ours.test> RET=FULL ENVID=a+3Db",
        ),
        (make_mailing(ret="FULL", envid="a+3Db"), {}, "MAIL FROM:<ann@ours.test>"),
        (make_mailing(envid="a\r\nQUIT"), {"DSN": ""}, "MAIL FROM:<ann@ours.test>"),
    ],
)
def test_mail_names_what_the_server_offers(mailing, offers, command):
    assert mail_command(mailing, offers) == f"{command}\r\n".encode()


@pytest.mark.parametrize(
    ("recipient", "offers", "command"),
    [
        (Recipient(BOB), EVERYTHING, "RCPT TO:<bob@elsewhere.test>"),
        (
            Recipient(BOB, "rfc822;b@x.test", ("SUCCESS", "FAILURE")),
            EVERYTHING,
            "RCPT TO:<bob@elsewhere.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x.test",
        ),
        (Recipient(BOB, notify=("NEVER",)), {}, "RCPT TO:<bob@elsewhere.test>"),
        (Recipient(BOB, orcpt="x\ny"), EVERYTHING, "RCPT TO:<bob@elsewhere.test>"),
    ],
)
def test_rcpt_names_what_the_server_offers(recipient, offers, command):
    assert rcpt_command(recipient, offers) == f"{command}\r\n".encode()


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"hi\r\n", b"hi\r\n.\r\n"),
        (b"hi", b"hi\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n"),
        (b"a\n.\nMAIL FROM:<eve@x>\r\n", b"a\n..\nMAIL FROM:<eve@x>\r\n.\r\n"),
    ],
)
def test_a_content_is_dot_stuffed(content, wire):
    assert stuffed(content) == wire


@given(st.lists(st.text(alphabet="a.\r\n", max_size=6).map(str.encode)))
def test_stuffing_in_pieces_is_stuffing_the_whole(chunks):
    stuffer = Stuffer()

    wire = b"".join([*map(stuffer.feed, chunks), stuffer.end()])

    assert wire == stuffed(b"".join(chunks))
    assert wire.index(b"\r\n.\r\n" if wire != b".\r\n" else wire) + 5 >= len(wire)
