"""What ingress asks auth, over HTTP."""

import asyncio

import pytest

from kernel.http import Peer
from kernel.model.address import Address
from kernel.model.questions import RelayQuestion
from services.ingress.adapters.directory import HttpDirectory
from services.ingress.ports import DirectoryUnavailableError
from tests.dialogs.house import MX, stub_auth
from tests.support.mail import BOB


@pytest.fixture
async def auth():
    async with stub_auth() as auth:
        yield auth


@pytest.fixture
async def directory(auth):
    async with HttpDirectory(Peer(auth.url, "service-token")) as directory:
        yield directory


def question(local):
    return RelayQuestion("mx", "192.0.2.1", "x", BOB, Address(local, "ours.test"))


async def test_what_many_ask_at_once_goes_together(directory, auth):
    asked = [[question(f"{n}"), question("nobody")] for n in range(50)]

    answers = await asyncio.gather(*map(directory.decide, asked))

    assert [[answer.reply.code for answer in own] for own in answers] == [[250, 550]] * 50
    assert len(auth.batches) <= 3
    assert sum(map(len, auth.batches)) == 100


async def test_a_crowd_is_asked_about_in_bounded_batches(directory, auth):
    asked = [[question(f"{n}/{m}") for m in range(100)] for n in range(10)]

    await asyncio.gather(*map(directory.decide, asked))

    assert max(map(len, auth.batches)) <= 256


async def test_a_listener_is_looked_up(directory):
    assert await directory.listener("mx") == MX


async def test_no_answer_is_no_answer(directory, auth):
    auth.away = True

    with pytest.raises(DirectoryUnavailableError):
        await directory.decide([question("ann")])
    with pytest.raises(DirectoryUnavailableError):
        await directory.listener("mx")
