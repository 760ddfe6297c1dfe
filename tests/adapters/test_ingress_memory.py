"""What a message costs in memory while it comes in does not hang on its size."""

import asyncio
import sys
import tracemalloc

import pytest
from structlog.testing import capture_logs

from kernel.blobs.filesystem import open_store
from tests.dialogs.house import open_house
from tests.support.ports import free_port

MOST = 256 * 1024
"""Octets of memory that a connection may cost."""
CLIENTS = 20


async def pour(house, way, octets, scanner, clients=CLIENTS):
    """Have clients send at once, and wait until they are done."""
    arguments = [house.address()[1], way, clients, octets, scanner]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.pouring", *map(str, arguments)
    )
    try:
        async with asyncio.timeout(60):
            assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def most_memory(work):
    """Return how many octets more there were at any time of ``work`` than before it."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await work
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("stranger", [False, True], ids=["lan", "stranger"])
@pytest.mark.parametrize("way", ["data", "bdat", "bdat-pieces"])
async def test_a_message_of_any_size_costs_little_memory(tmp_path, way, stranger):
    scanner = free_port()
    settings = {"authenticate": False, "clamd": f"127.0.0.1:{scanner}"}
    stage = {"blobs": open_store(f"file:///{tmp_path}/blobs")}
    with capture_logs():
        async with open_house(tmp_path, platform=stage, **settings) as house:
            house.auth.stranger = stranger
            await house.change("mx", max_message_size=30_000_000, max_connections_per_ip=100)
            await pour(house, way, 200_000, scanner, clients=1)

            most = await most_memory(pour(house, way, 3_000_000, scanner))

            assert len(house.accepted) == 1 + CLIENTS
            assert most / CLIENTS < MOST
