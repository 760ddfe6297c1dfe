"""What ingress would make of a client, asked at the health port: nothing of it leaves a trace."""

from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from kernel.health import serve_health
from kernel.model.questions import Acquaintance, GreylistAnswer
from kernel.model.rate import Rate
from services.ingress.checks.panel import NEEDS_MESSAGE
from services.ingress.outlook import NAME
from tests.dialogs.house import open_house
from tests.support.names import name_server

TOKEN = "service-token"
VISIT = {
    "listener": "mx",
    "client": "127.0.0.1",
    "helo": "client.example",
    "sender": "bob@elsewhere.test",
    "recipient": "ann@ours.test",
}


@asynccontextmanager
async def asked(house, listen):
    async with serve_health(house.platform.health, listen, TOKEN), aiohttp.ClientSession() as web:

        async def ask(token=TOKEN, name=NAME, **changes):
            headers = {"Authorization": f"Bearer {token}"}
            url = f"http://{listen}/internal/{name}"
            async with web.post(url, json={**VISIT, **changes}, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None) if answer.ok else None

        yield ask


@pytest.fixture
def listen(own_port):
    return f"127.0.0.1:{own_port}"


async def test_who_has_not_the_credential_hears_nothing(tmp_path, listen):
    async with open_house(tmp_path) as house, asked(house, listen) as ask:
        assert (await ask(token="another"))[0] == 401
        assert (await ask(token=""))[0] == 401
        assert (await ask(name="other"))[0] == 404
        assert (await ask(listener="nowhere"))[0] == 422
        assert (await ask(client="nowhere"))[0] == 422
        assert (await ask(recipient="nobody"))[0] == 422


async def test_checks_say_what_they_would_and_what_needs_the_message(tmp_path, listen):
    questions = []

    async def new(question):
        questions.append(question)
        return GreylistAnswer(Acquaintance.NEW)

    zone = {
        ("1.0.0.127.list.test", "A"): ["127.0.0.2"],
        ("elsewhere.test", "TXT"): ["v=spf1 ip4:127.0.0.1 -all"],
    }
    async with name_server(zone) as names:
        settings = {
            "name_servers": (names.address,),
            "dnslists": ("list.test",),
            "greylist": timedelta(minutes=5),
            "clamd": "/nowhere",
            "fail_closed": ("dnslists",),
        }
        async with open_house(tmp_path, **settings) as house, asked(house, listen) as ask:
            house.auth.greylist = new
            status, outlook = await ask()
            _, known = await ask(stranger=False)

    assert status == 200
    found = {check["check"]: (check["outcome"], check["reply"][:3]) for check in outlook["checks"]}
    assert found == {
        "authentication": ("pass", ""),
        "dnslists": ("listed", "554"),
        "greylist": ("new", "451"),
        "clamd": (NEEDS_MESSAGE, ""),
    }
    assert [check["check"] for check in outlook["checks"] if check["closed"]] == ["dnslists"]
    assert [question.trial for question in questions] == [True]
    assert known["checks"] == []
    assert house.accepted == []


async def test_limits_say_how_much_of_them_is_used(tmp_path, listen):
    async with open_house(tmp_path, authenticate=False) as house, asked(house, listen) as ask:
        house.auth.stranger = True
        await house.change("mx", message_rate_per_user=(Rate(1, 60),))
        await house.change("mx", recipient_rate_per_user=(Rate(1, 60),))
        await house.change("mx", message_rate_per_ip=(Rate(10, 3_600), Rate(100, 86_400)))
        client = await house.connect()
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@ours.test>\r\n")
        assert (await client.replies(4))[-1] == "250"

        used = {(one["limit"], one["most"]): one["used"] for one in (await ask())[1]["limits"]}
        again = {(one["limit"], one["most"]): one["used"] for one in (await ask())[1]["limits"]}
        user = {one["limit"] for one in (await ask(login="ann", stranger=False))[1]["limits"]}

    assert used == again
    assert used["connections_per_ip", "20"] == 1
    assert used["message_rate_per_ip", "10/hour"] == pytest.approx(1, abs=0.2)
    assert used["message_rate_per_ip", "100/day"] == pytest.approx(1, abs=0.2)
    assert used["unknown_recipients", "100/hour"] == 0
    assert user == {
        "connections",
        "connections_per_ip",
        "message_rate_per_user",
        "recipient_rate_per_user",
    }


async def test_it_says_who_is_shut_out(tmp_path, listen):
    settings = {"authenticate": False, "max_unknown_per_hour": 1}
    async with open_house(tmp_path, **settings) as house, asked(house, listen) as ask:
        house.auth.stranger = True
        client = await house.connect()
        client.send(b"EHLO x\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<nobody@ours.test>\r\n" * 2)
        await client.replies(5)

        (left,) = [one["used"] for one in (await ask())[1]["limits"] if one["limit"] == "shut_out"]

    assert 800 < left <= 900
