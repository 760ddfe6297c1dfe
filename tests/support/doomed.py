"""A consumer in a process of its own, for tests that kill it.

    python -m tests.support.doomed BUS_URL [POISON]

Prints the id of each mail that it takes, and never finishes one. With POISON it
finishes every mail but the one with that id, which kills the process.
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager

from kernel import maillog
from kernel.bus import rabbitmq, sqlite
from kernel.model.events import MailAccepted


async def main(url: str, poison: str = "") -> None:
    connect = sqlite.connect if url.startswith("sqlite") else rabbitmq.connect

    async def take(event: MailAccepted) -> None:
        print(event.id, flush=True)  # noqa: T201 - the test reads it
        if event.id == poison:
            os._exit(1)
        if not poison:
            await asyncio.Event().wait()

    async with connect(url) as bus:
        await bus.consume(MailAccepted, take)


@asynccontextmanager
async def doomed(url: str, *arguments: str):
    """Yield a running process; it is killed at the end, if it still lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.doomed",
        url,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    maillog.configure("json", "ERROR")  # on stderr: stdout is the test's
    asyncio.run(main(*sys.argv[1:]))
