"""Clamd: has a message scanned for viruses, by ClamAV's daemon (clamd(8), INSTREAM)."""

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kernel.model.reply import Reply
from kernel.settings import host_and_port
from services.ingress.checks.port import Arrival, CheckUnavailableError
from services.ingress.core.checks import Finding

VIRUS = Reply(554, "5.7.1", "The message holds malware")
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Clamd:
    """The check. ``place`` is HOST:PORT or the path of a socket."""

    place: str
    limit: float
    name: str = "clamd"

    def preview(self, _: Arrival) -> None:
        """Return None: without a message there is nothing to look at."""

    async def examine(self, arrival: Arrival) -> Finding:
        """Return whether clamd knows something in the message."""
        answer = await self._scan(arrival.content())
        if answer.endswith(" FOUND"):
            return Finding(self.name, "found", refusal=VIRUS)
        if answer.endswith(" OK"):
            return Finding(self.name, "clean")
        raise CheckUnavailableError(f"clamd: {answer or 'no answer'}")

    async def _scan(self, content: AsyncIterator[bytes]) -> str:
        reader, writer = await self._connect()
        try:
            writer.write(b"zINSTREAM\0")
            async for octets in content:
                for at in range(0, len(octets), _CHUNK):
                    piece = octets[at : at + _CHUNK]
                    writer.write(struct.pack("!I", len(piece)) + piece)
                    await writer.drain()
            writer.write(struct.pack("!I", 0))
            return (await reader.read(4_096)).rstrip(b"\0\n").decode("utf-8", "replace")
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.place.startswith("/"):
            return await asyncio.open_unix_connection(self.place)
        return await asyncio.open_connection(*host_and_port(self.place))
