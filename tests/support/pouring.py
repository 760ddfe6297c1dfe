"""Pours large messages into an SMTP server, all at once, from a process of its own.

    python -m tests.support.pouring PORT data|bdat|bdat-pieces COUNT OCTETS SCANNER

On the port SCANNER meanwhile listens a clamd that finds nothing.
"""

import asyncio
import sys
from collections.abc import Iterator

LINE = b"x" * 76 + b"\r\n"
HEAD = b"From: Bob <bob@elsewhere.test>\r\nSubject: large\r\n\r\n"
PIECE = 100_000
HELLO = (
    b"EHLO client.elsewhere.test\r\nMAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\n"
)


def octets_of(way: str, message: bytes) -> Iterator[bytes]:
    """Yield what follows the envelope, up to each reply that is due."""
    if way == "data":
        yield b"DATA\r\n"
        yield message + b".\r\n"
    elif way == "bdat":
        yield b"BDAT %d LAST\r\n%b" % (len(message), message)
    else:
        for at in range(0, len(message), PIECE):
            piece = message[at : at + PIECE]
            yield b"BDAT %d\r\n%b" % (len(piece), piece)
        yield b"BDAT 0 LAST\r\n"


async def hear(reader: asyncio.StreamReader, replies: int) -> None:
    """Read so many replies, none of which may be a refusal."""
    while replies:
        line = await reader.readline()
        assert line.startswith((b"2", b"3")), f"the server said {line!r}"
        replies -= line[3:4] == b" "


async def pour(port: int, way: str, message: bytes) -> None:
    """Send one message."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELLO)
    await hear(reader, 4)
    for octets in octets_of(way, message):
        writer.write(octets)
        await writer.drain()
        await hear(reader, 1)
    writer.close()


async def scan(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be clamd: read to the chunk of no octets, and find nothing."""
    await reader.readuntil(b"\0")
    while size := int.from_bytes(await reader.readexactly(4)):
        await reader.readexactly(size)
    writer.write(b"stream: OK\0")
    writer.close()


async def main() -> None:
    """Do what the arguments say."""
    port, way, count, octets, scanner = sys.argv[1:]
    message = HEAD + LINE * (int(octets) // len(LINE))
    async with await asyncio.start_server(scan, "127.0.0.1", int(scanner)):
        await asyncio.gather(*(pour(int(port), way, message) for _ in range(int(count))))


if __name__ == "__main__":
    asyncio.run(main())
