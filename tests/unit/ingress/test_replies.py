"""Enhanced status codes (RFC 2034): where they must stand, and where not."""

import re
from dataclasses import replace

import pytest

from kernel.model.reply import Reply
from kernel.sasl import MECHANISMS
from services.ingress.core import replies
from tests.unit.ingress.talk import ENVELOPE, HELLO, LISTENER, TLS, talk

ALL = {name: reply for name, reply in vars(replies).items() if isinstance(reply, Reply)}
STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")


@pytest.mark.parametrize("reply", ALL.values(), ids=ALL)
def test_every_reply_has_the_status_of_its_class_but_those_that_ask_for_more(reply):
    status = STATUS.fullmatch(reply.status)

    if 300 <= reply.code < 400:
        assert reply.status == ""
    else:
        assert status
        assert int(status[1]) == reply.code // 100


@pytest.mark.parametrize("reply", ALL.values(), ids=ALL)
def test_a_status_stands_on_every_line_of_a_reply(reply):
    for line in reply.lines().decode().splitlines():
        assert line[4:].startswith(reply.status)
        assert len(line) <= 510  # RFC 5321 §4.5.3.1.5


def test_greetings_and_what_is_on_offer_have_none():
    listener = replace(LISTENER, mechanisms=tuple(MECHANISMS))
    one = talk(HELLO, b"HELO x\r\n", HELLO, b"AUTH LOGIN\r\n", b"*\r\n", ENVELOPE, b"DATA\r\n",
               listener=listener, tls=TLS)  # fmt: skip
    lines = one.said.decode().splitlines()
    bare = [line for line in lines if not STATUS.match(line, 4)]

    assert {line[:3] for line in bare} == {"250", "334", "354"}
    assert [line[4:] for line in bare if line.startswith("250 ")][1] == "mx.ours.test"
    assert all(line in bare for line in lines if line.startswith("250-"))
