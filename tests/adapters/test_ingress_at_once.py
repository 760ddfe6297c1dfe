"""Where every answer is there at once, nothing is left to wait for; and nobody can pile that up."""

from dataclasses import dataclass

import pytest

from kernel.model.questions import RelayAnswer
from services.ingress import main
from tests.dialogs.house import MX, TAKEN, open_house

TRANSACTION = (
    b"MAIL FROM:<bob@far.test>\r\nRCPT TO:<ann@ours.test>\r\n"
    b"BDAT 25 LAST\r\nSubject: hello\r\n\r\nhello\r\n"
)


@dataclass
class Ready:
    """A directory that waits for nothing."""

    peer: object

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def listener(self, name):
        return MX

    async def decide(self, questions):
        return [RelayAnswer(TAKEN, "local") for _ in questions]


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "HttpDirectory", Ready)
    async with open_house(tmp_path, authenticate=False) as house:
        yield house


async def test_many_transactions_in_one_write_come_in_one_after_the_other(house):
    client = await house.connect()
    await client.reply()
    await client.ask("EHLO client.test")

    client.send(TRANSACTION * 600)

    assert await client.replies(600 * 3) == ["250"] * 600 * 3
    assert len(house.accepted) == 600
    assert {event.envelope.content[-9:] for event in house.accepted} == {b"\r\nhello\r\n"}
