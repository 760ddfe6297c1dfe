"""The one way to ask DNS, against a name server of our own."""

import pytest
from pydantic import ValidationError

from kernel.names import (
    Answer,
    NameServers,
    NamesSettings,
    NamesSilentError,
    NamesUnavailableError,
)
from tests.support.names import SERVFAIL, name_server

ZONE = {
    ("x.test", "MX"): ["10 A.test.", "20 b.test."],
    ("x.test", "TXT"): ["v=spf1 -all"],
    ("null.test", "MX"): ["0 ."],
    ("a.test", "A"): ["192.0.2.1", "192.0.2.2"],
    ("a.test", "AAAA"): ["2001:db8::1"],
    ("_25._tcp.a.test", "TLSA"): ["3 1 1 " + "0a" * 32],
    ("alias.test", "CNAME"): ["other.test."],
    ("other.test", "CNAME"): ["a.test."],
    ("dangling.test", "CNAME"): ["nothing.test."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["A.test."],
    ("broken.test", "A"): SERVFAIL,
}


@pytest.fixture
async def server():
    async with name_server(ZONE, secure={"a.test"}) as server:
        yield server


@pytest.fixture
def names(server):
    return NameServers([server.address])


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("x.test", "MX", {"10 a.test", "20 b.test"}),
        ("null.test", "MX", {"0 ."}),
        ("x.test", "TXT", {"v=spf1 -all"}),
        ("a.test", "A", {"192.0.2.1", "192.0.2.2"}),
        ("a.test", "AAAA", {"2001:db8::1"}),
        ("_25._tcp.a.test", "TLSA", {"3 1 1 " + "0a" * 32}),
        ("1.2.0.192.in-addr.arpa", "PTR", {"a.test"}),
        ("alias.test", "CNAME", {"other.test"}),
    ],
)
async def test_records_come_as_text(names, name, kind, records):
    answer = await names.ask(name, kind)

    assert set(answer.records) == records
    assert (answer.name, answer.exists) == (name, True)


async def test_aliases_are_followed(names):
    answer = await names.ask("alias.test", "AAAA")

    assert answer == Answer("a.test", ("2001:db8::1",))


async def test_no_such_record_no_such_name_and_no_answer_are_three_things(names):
    assert await names.ask("x.test", "A") == Answer("x.test")
    assert await names.ask("nothing.test", "A") == Answer("nothing.test", exists=False)
    assert not (await names.ask("dangling.test", "A")).exists
    with pytest.raises(NamesUnavailableError):
        await names.ask("broken.test", "A")


@pytest.mark.parametrize("name", ["a..test", f"{'a' * 64}.test", "a." * 200])
async def test_a_name_that_cannot_be_written_does_not_exist(server, names, name):
    assert not (await names.ask(name, "A")).exists
    assert server.asked == []


async def test_what_was_answered_is_remembered(server, names):
    for _ in range(3):
        await names.ask("a.test", "A")
        await names.ask("nothing.test", "A")

    assert server.asked == [("a.test", "A"), ("nothing.test", "A")]


async def test_silence_is_told_from_a_failure(server, names):
    server.silent = True

    with pytest.raises(NamesSilentError):
        await names.ask("a.test", "A", lifetime=0.1)


async def test_only_who_trusts_the_resolver_believes_that_it_validates(server):
    trusting = NameServers([server.address], dnssec=True)

    assert (await trusting.ask("a.test", "A")).secure
    assert (await trusting.ask("a.test", "TXT")).secure  # that there is none, too
    assert not (await trusting.ask("x.test", "TXT")).secure
    assert not (await trusting.ask("alias.test", "A")).secure  # nobody vouches for the alias
    assert not (await NameServers([server.address]).ask("a.test", "A")).secure


@pytest.mark.parametrize("text", ["localhost:53", "127.0.0.1", "127.0.0.1:dns"])
def test_a_name_server_is_an_address_and_a_port(text):
    with pytest.raises(ValidationError):
        NamesSettings(name_servers=text)


def test_several_name_servers_may_be_named():
    settings = NamesSettings(name_servers="127.0.0.1:53, [::1]:53")

    assert settings.name_servers == ("127.0.0.1:53", "[::1]:53")
