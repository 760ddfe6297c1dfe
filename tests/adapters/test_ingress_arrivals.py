"""Who comes in at all: room, handshakes, admission; and what ingress knows by then."""

import asyncio
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from kernel.model.questions import AdmissionAnswer, AdmissionQuestion
from tests.dialogs.house import ALL, open_house, soon

MAIL = (
    b"EHLO client.example\r\nMAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\nDATA\r\n"
    b"hi\r\n.\r\n"
)


@pytest.fixture
async def house(tmp_path):
    async with open_house(tmp_path) as house:
        yield house


async def test_no_more_connections_than_allowed(house):
    await house.change("mx", max_connections_per_ip=2)
    clients = [await house.connect() for _ in range(2)]
    assert [(await client.reply())[:3] for client in clients] == ["220", "220"]

    surplus = await house.connect()
    assert await surplus.reply() == "421 4.7.0 Too many connections, try again later"

    await clients[0].ask("QUIT")
    await soon(lambda: house.ingress.crowd.size == 1)
    again = await house.connect()
    assert (await again.reply())[:3] == "220"


async def test_who_is_in_the_middle_of_a_handshake_counts_too(house):
    await house.change("submissions", max_connections_per_ip=2)
    silent = [await house.connect("submissions") for _ in range(2)]
    await soon(lambda: house.ingress.crowd.size == 2)

    surplus = await house.connect("submissions")
    assert await surplus.reply() == ""

    silent[0].writer.transport.abort()
    await soon(lambda: house.ingress.crowd.size == 1)
    client = await house.connect("submissions")
    await client.start_tls()
    assert (await client.reply())[:3] == "220"


async def test_a_crowd_shakes_hands_at_once(house):
    clients = [await house.connect("submissions") for _ in range(15)]

    await asyncio.gather(*(client.start_tls() for client in clients))

    assert [(await client.reply())[:3] for client in clients] == ["220"] * 15


async def test_a_login_can_be_bound_to_the_certificate_that_the_client_sees(house):
    await house.change("submissions", mechanisms=ALL)
    client = await house.connect("submissions")
    await client.start_tls()
    seen = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    client.send(b"EHLO x\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n")

    assert await client.replies(3) == ["220", "250", "235"]
    assert house.auth.logins[0].channel_binding == sha256(seen).digest()


async def test_who_may_not_connect_is_told_so_and_noted(house):
    house.auth.admission = AdmissionAnswer(admitted=False)
    await house.change("mx", restricted=True)

    with capture_logs() as logs:
        client = await house.connect()
        assert await client.reply() == "554 5.7.1 No SMTP service here for you"
        assert await client.reply() == ""

    assert AdmissionQuestion("mx", "127.0.0.1") in house.auth.arrivals
    assert [line["event"] for line in logs] == ["not admitted"]


async def test_while_auth_is_away_nobody_new_comes_in_where_it_matters(house):
    await house.change("mx", restricted=True)
    house.auth.away = True

    restricted, open_to_all = await house.connect(), await house.connect("submission")

    assert await restricted.reply() == "421 4.3.2 Not accepting mail yet, try again later"
    assert await restricted.reply() == ""
    assert (await open_to_all.reply())[:3] == "220"


async def test_who_talks_before_being_let_in_is_heard_afterwards(house):
    await house.change("mx", restricted=True)
    client = await house.connect()
    client.send(MAIL)

    assert await client.replies(6) == ["220", "250", "250", "250", "354", "250"]
