"""What ingress knows of its listeners, and when it asks again."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from kernel.model.events import DirectoryChanged
from services.ingress.policies import Policies
from tests.unit.ingress.talk import LISTENER


class CountingDirectory:
    """Knows one listener, and how often it was asked for it."""

    def __init__(self):
        self.asked = 0

    async def listener(self, name):
        self.asked += 1
        return LISTENER


@asynccontextmanager
async def following(directory):
    policies = Policies(directory, ["mx"])
    task = asyncio.create_task(policies.follow("mx"))
    await policies.all_known()
    try:
        yield policies
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def everybody_has_had_a_turn():
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("listeners", 2),
        ("domains", 2),
        ("networks", 2),
        ("grants", 1),
        ("lockouts", 1),
        ("app-passwords", 1),
        ("api-keys", 1),
    ],
)
async def test_what_concerns_logins_alone_is_no_reason_to_ask_again(kind, asked):
    directory = CountingDirectory()
    async with following(directory) as policies:
        await everybody_has_had_a_turn()

        await policies.notice(DirectoryChanged(kind, "x"))
        await everybody_has_had_a_turn()

    assert directory.asked == asked
