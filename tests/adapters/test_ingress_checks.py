"""Mail from strangers through a served ingress: what is checked, said, refused and done without."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from kernel.blobs.filesystem import open_store
from kernel.model.envelope import Blob
from tests.dialogs.house import open_house
from tests.support.names import SERVFAIL, name_server
from tests.support.signing import rsa_key, sealed, signed

ZONE = {
    ("elsewhere.test", "TXT"): ["v=spf1 ip4:127.0.0.1 -all"],
    ("s1._domainkey.elsewhere.test", "TXT"): [rsa_key(2048)[1]],
    ("_dmarc.elsewhere.test", "TXT"): ["v=DMARC1; p=reject"],
    ("forged.test", "TXT"): ["v=spf1 -all"],
    ("_dmarc.forged.test", "TXT"): ["v=DMARC1; p=reject; sp=quarantine"],
    ("doubtful.test", "TXT"): SERVFAIL,
    ("_dmarc.doubtful.test", "TXT"): ["v=DMARC1; p=reject"],
    ("listed.list.test", "A"): ["127.0.0.2"],
    ("1.0.0.127.list.test", "A"): ["127.0.0.4"],
    ("1.0.0.127.other.test", "A"): ["127.255.255.254"],
    ("1.0.0.127.in-addr.arpa", "PTR"): ["client.elsewhere.test."],
    ("client.elsewhere.test", "A"): ["127.0.0.1"],
}
MESSAGE = b"From: Bob <bob@elsewhere.test>\r\nSubject: hello\r\n\r\nhi\r\n"
OURS = b"Authentication-Results: mx.ours.test;\r\n\t"


@asynccontextmanager
async def checking(tmp_path, zone=ZONE, **settings):
    async with name_server(zone) as names:
        options = {"name_servers": [names.address], "dns_timeout": timedelta(seconds=2)}
        async with open_house(tmp_path, **{**options, **settings}) as house:
            house.auth.stranger = True
            house.names = names
            yield house


@pytest.fixture
async def house(tmp_path):
    async with checking(tmp_path) as house:
        yield house


async def send(house, message, sender="bob@elsewhere.test"):
    client = await house.connect()
    client.send(
        f"EHLO client.elsewhere.test\r\nMAIL FROM:<{sender}>\r\n"
        f"RCPT TO:<ann@ours.test>\r\nDATA\r\n".encode()
    )
    assert await client.replies(5) == ["220", "250", "250", "250", "354"]
    client.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    reply = await client.reply()
    await client.close()
    return reply


async def content_of(house):
    content = house.accepted[-1].envelope.content
    return house.platform.blobs.blobs[content.id] if isinstance(content, Blob) else content


async def results_of(house):
    """Return the results in the first field, which has to be ours."""
    content = await content_of(house)
    assert content.startswith(OURS)
    return content.removeprefix(OURS).split(b"\r\nReceived:")[0].decode().split(";\r\n\t")


async def test_what_passes_is_said_to_have_passed(house):
    assert (await send(house, signed(MESSAGE)))[:3] == "250"

    assert await results_of(house) == [
        "spf=pass smtp.mailfrom=elsewhere.test",
        "dkim=pass header.d=elsewhere.test header.s=s1",
        "dmarc=pass header.from=elsewhere.test",
    ]


async def test_a_chain_of_those_before_us_is_checked(house):
    house.names.zone["s1._domainkey.relay.test", "TXT"] = [rsa_key(2048)[1]]

    await send(house, sealed(signed(MESSAGE)))

    assert (await results_of(house))[2] == "arc=pass smtp.remote-ip=127.0.0.1"


async def test_what_fails_is_taken_and_said_to_have_failed(house):
    message = MESSAGE.replace(b"elsewhere", b"forged")

    assert (await send(house, message, "bob@forged.test"))[:3] == "250"

    assert await results_of(house) == [
        "spf=fail smtp.mailfrom=forged.test",
        "dkim=none",
        'dmarc=fail reason="p=reject" header.from=forged.test',
    ]


async def test_the_message_itself_stays_as_it_came(house):
    message = signed(MESSAGE)

    await send(house, message)

    assert (await content_of(house)).endswith(b"\r\n" + message)


@pytest.mark.parametrize(
    "name",
    [
        b"mx.ours.test",
        b"MX.Ours.Test 1",
        b'"mx.ours.test"',
        b"(a (deep) word)\r\n mx.ours.test",
        b"(" * 5_000,
    ],
)
async def test_results_that_claim_to_be_ours_are_removed(house, name):
    forged = b"Authentication-Results: " + name + b"; spf=pass smtp.mailfrom=bank.test\r\n"
    foreign = b"Authentication-Results: mx.elsewhere.test; spf=pass\r\n"

    await send(house, forged + foreign + MESSAGE)

    content = await content_of(house)
    assert b"bank.test" not in content
    assert content.endswith(b"\r\n" + foreign + MESSAGE)


async def test_large_messages_are_checked_while_they_stream(house):
    forged = b"Authentication-Results: mx.ours.test; spf=pass smtp.mailfrom=bank.test\r\n"
    body = b"".join(b"line %d \t of many  words\r\n" % number for number in range(40_000))
    message = signed(MESSAGE + body + b"\r\n" * 5_000)

    assert (await send(house, forged + message))[:3] == "250"

    assert "dkim=pass header.d=elsewhere.test header.s=s1" in await results_of(house)
    assert (await content_of(house)).endswith(b"\r\n" + message)
    assert list(house.platform.blobs.blobs) == [house.accepted[0].envelope.content.id]


async def test_what_was_put_aside_leaves_nothing_on_the_disk(tmp_path):
    blobs = open_store(f"file:///{tmp_path}/blobs")
    message = signed(MESSAGE + b"a line\r\n" * 200_000)
    async with checking(tmp_path, platform={"blobs": blobs}, dmarc="obey") as house:
        forged = message.replace(b"elsewhere", b"forged")
        assert (await send(house, forged))[:3] == "550"
        assert (await send(house, message))[:3] == "250"

        (accepted,) = house.accepted
        (kept,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
        assert kept.name == accepted.envelope.content.id
        assert kept.read_bytes().endswith(b"\r\n" + message)
        assert kept.stat().st_size == accepted.envelope.size


async def test_a_changed_body_is_noticed_however_large(house):
    message = signed(MESSAGE + b"as it was\r\n" * 20_000)

    await send(house, message.replace(b"as it was", b"as it is!", 1))

    expected = 'dkim=fail reason="body hash did not verify" header.d=elsewhere.test header.s=s1'
    assert expected in await results_of(house)


async def test_a_header_section_may_be_large_and_not_too_large(house):
    lines = b"".join(b"X-Line: %05d\r\n" % number for number in range(6_000))
    message = lines + signed(MESSAGE)
    assert (await send(house, message))[:3] == "250"
    assert (await content_of(house)).endswith(b"\r\n" + message)

    reply = await send(house, lines * 2 + MESSAGE)

    assert reply == "552 5.3.4 The header of the message is too big"
    assert len(house.accepted) == 1


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_a_policy_is_obeyed_where_that_is_wanted(tmp_path, size):
    message = MESSAGE.replace(b"elsewhere", b"forged") + b"word\r\n" * size
    async with checking(tmp_path, dmarc="obey") as house:
        reply = await send(house, message)
        assert reply == "550 5.7.26 The domain in From wants this refused (DMARC)"
        assert not house.accepted
        assert not house.platform.blobs.blobs

        below = message.replace(b"@forged", b"@below.forged")
        assert (await send(house, below))[:3] == "250"
        assert b"\r\nX-Spam-Flag: YES\r\nReceived: " in await content_of(house)


async def test_two_authors_are_none(tmp_path):
    async with checking(tmp_path, dmarc="obey") as house:
        reply = await send(house, b"From: <ceo@bank.test>\r\n" + signed(MESSAGE))

        assert reply == "550 5.7.26 From must name one domain (DMARC)"


async def test_trouble_with_dns_refuses_nothing(tmp_path):
    message = MESSAGE.replace(b"elsewhere", b"doubtful")
    async with checking(tmp_path, dmarc="obey") as house:
        assert (await send(house, message, "bob@doubtful.test"))[:3] == "250"

        assert await results_of(house) == [
            "spf=temperror smtp.mailfrom=doubtful.test",
            "dkim=none",
            "dmarc=temperror header.from=doubtful.test",
        ]


async def test_silent_name_servers_cost_their_time_only_once(house):
    house.names.silent = True
    clock = asyncio.get_running_loop().time

    started = clock()
    assert (await send(house, signed(MESSAGE)))[:3] == "250"
    first = clock() - started
    asked = len(house.names.asked)
    started = clock()
    assert (await send(house, signed(MESSAGE)))[:3] == "250"

    assert first < 3
    assert clock() - started < 0.5
    assert len(house.names.asked) == asked
    assert [result.partition(" ")[0] for result in await results_of(house)] == [
        "spf=temperror",
        "dkim=temperror",
        "dmarc=temperror",
    ]


async def test_who_is_no_stranger_is_not_checked(house):
    house.auth.stranger = False

    await send(house, MESSAGE)

    assert (await content_of(house)).startswith(b"Received: ")
    assert house.names.asked == []


@pytest.mark.parametrize("stranger", [True, False])
async def test_mail_says_whether_we_know_who_sent_it(house, stranger):
    house.auth.stranger = stranger

    await send(house, MESSAGE)

    assert (await content_of(house)).startswith(b"Authentication" if stranger else b"Received")
    assert house.accepted[-1].envelope.submitted is not stranger


async def test_the_null_sender_is_checked_by_its_name(house):
    await send(house, MESSAGE, "")

    assert (await results_of(house))[0] == "spf=none smtp.helo=client.elsewhere.test"


async def test_what_the_checks_said_is_written_down(house):
    with capture_logs() as logs:
        await send(house, signed(MESSAGE))

    (line,) = [line for line in logs if line["event"] == "checked"]
    assert line["mail"] == house.accepted[0].envelope.id
    assert line["checks"] == {"authentication": "pass"}
    assert line["results"][0] == "spf=pass smtp.mailfrom=elsewhere.test"


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        (["list.test"], "554"),
        (["other.test"], "250"),
        (["nowhere.test", "list.test=127.0.0.4/31"], "554"),
        (["list.test=127.0.0.2"], "250"),
    ],
    ids=["listed", "no answer for us", "by that answer", "by another answer"],
)
async def test_whom_a_list_names_is_refused(tmp_path, lists, code):
    async with checking(tmp_path, dnslists=lists) as house:
        assert (await send(house, MESSAGE))[:3] == code


async def test_a_list_that_is_silent_keeps_mail_out_only_if_that_is_wanted(tmp_path):
    zone = {**ZONE, ("1.0.0.127.list.test", "A"): SERVFAIL}
    async with checking(tmp_path, zone, dnslists=["list.test"]) as house:
        assert (await send(house, MESSAGE))[:3] == "250"
    async with checking(tmp_path, zone, dnslists=["list.test"], fail_closed=["dnslists"]) as house:
        reply = await send(house, MESSAGE)
        assert reply == "451 4.7.1 The message cannot be checked now, try again later"


async def test_a_name_that_leads_back_is_noted(tmp_path):
    async with checking(tmp_path, reverse="annotate") as house:
        await send(house, MESSAGE)

        assert (await results_of(house))[-1] == "iprev=pass policy.iprev=127.0.0.1"


@pytest.mark.parametrize("found", [None, ["192.0.2.1"]], ids=["no name", "it leads elsewhere"])
async def test_who_has_no_name_is_refused_where_that_is_wanted(tmp_path, found):
    gone = ("client.elsewhere.test", "A") if found else ("1.0.0.127.in-addr.arpa", "PTR")
    zone = {**ZONE, gone: found or []}
    async with checking(tmp_path, zone, reverse="refuse") as house:
        reply = await send(house, MESSAGE)

        assert reply == "550 5.7.25 Your address has no name that leads back to it"
