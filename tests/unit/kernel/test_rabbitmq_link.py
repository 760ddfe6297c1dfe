"""The connection to the broker, as far as it can be seen without one."""

import asyncio
from contextlib import suppress

from yarl import URL

from kernel.bus.rabbitmq_link import Link
from tests.support.buses import eventually

UNSPEAKABLE = URL.build(scheme="amqp", host=f"{'x' * 64}.test", encoded=True)
"""A name that cannot be looked up: what that raises is neither the library's nor the system's."""


async def nothing(connection):
    return connection


async def test_no_error_of_the_library_ends_the_connecting():
    link = Link(UNSPEAKABLE, "testing", nothing)
    running = asyncio.create_task(link.run())

    await eventually(lambda: running.done() or "Unicode" in link.trouble)

    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
