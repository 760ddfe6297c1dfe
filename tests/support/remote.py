"""A scripted SMTP server: answers each phase as the test says, and records what it got.

    async with remote(rcpt="550 5.1.1 No such user") as there:
        ...
    assert there.commands == [...]

An answer is a line, several lines (parted by ``\\r\\n``), raw bytes (sent as they are), `HANG_UP`,
`SILENCE`, or a list of those, one for each time the phase comes by; the last one repeats.
"""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HANG_UP = object()
SILENCE = object()

PLAIN_EHLO = "250-there.test\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250 DSN"


@dataclass(frozen=True, slots=True)
class Last:
    """Say this, then hang up."""

    words: bytes


@dataclass
class Remote:
    """What the server says, and what it was told."""

    port: int = 0
    greeting: object = "220 there.test ESMTP"
    ehlo: object = PLAIN_EHLO
    helo: object = "250 there.test"
    starttls: object = "220 2.0.0 Go ahead"
    mail: object = "250 2.1.0 OK"
    rcpt: object = "250 2.1.5 OK"
    data: object = "354 Go ahead"
    dot: object = "250 2.0.0 Queued"
    bdat: object = "250 2.0.0 Queued"
    auth: object = "235 2.7.0 OK"
    rset: object = "250 2.0.0 OK"
    tls: ssl.SSLContext | None = None
    pause: float = 0.0
    implicit_tls: bool = False
    clients: list[str] = field(default_factory=list)
    responses: list[bytes] = field(default_factory=list)
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    batches: list[bytes] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)

    def answer(self, phase: str) -> object:
        answers = getattr(self, phase)
        if not isinstance(answers, list):
            return answers
        count = self._counts[phase] = self._counts.get(phase, 0) + 1
        return answers[min(count, len(answers)) - 1]

    def heard(self, verb: str) -> list[str]:
        return [command for command in self.commands if command.upper().startswith(verb)]


class _Conversation:
    def __init__(self, script: Remote, reader, writer):
        self.script, self.reader, self.writer = script, reader, writer
        self.chunks = b""

    async def run(self):
        self.script.connections += 1
        self.script.clients.append(self.writer.get_extra_info("peername")[0])
        if self.script.implicit_tls:
            await self.writer.start_tls(self.script.tls)
        await self.say("greeting")
        while line := await self.reader.readline():
            command = line.decode("utf-8").rstrip("\r\n")
            self.script.commands.append(command)
            verb, _, rest = command.partition(" ")
            await self.hear(verb.upper(), rest)

    async def hear(self, verb, rest):
        if verb == "QUIT":
            raise ConnectionResetError
        if verb == "BDAT":
            self.take_chunk(await self.reader.readexactly(int(rest.split()[0])), rest)
        went = await self.say(verb.lower())
        while verb == "AUTH" and went.startswith(b"334"):
            self.script.responses.append(await self.reader.readline())
            went = await self.say("auth")
        if verb == "STARTTLS" and went.startswith(b"220"):
            await self.writer.start_tls(self.script.tls)
        if verb == "DATA" and went.startswith(b"354"):
            self.script.contents.append(await self.content())
            await self.say("dot")

    def take_chunk(self, octets, rest):
        self.chunks += octets
        if rest.upper().endswith(" LAST"):
            self.script.contents.append(self.chunks)
            self.chunks = b""

    async def content(self):
        whole = bytearray()
        while not whole.endswith(b"\r\n.\r\n") and whole != b".\r\n":
            line = await self.reader.readline()
            if not line:
                raise ConnectionResetError
            whole += line
        return bytes(whole).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")

    async def say(self, phase):
        answer = self.script.answer(phase)
        await asyncio.sleep(self.script.pause)
        if answer is HANG_UP:
            raise ConnectionResetError
        if answer is SILENCE:
            await asyncio.Event().wait()
        words = answer.words if isinstance(answer, Last) else answer
        octets = words if isinstance(words, bytes) else f"{words}\r\n".encode()
        self.writer.write(octets)
        await self.writer.drain()
        if isinstance(answer, Last):
            raise ConnectionResetError
        return octets


@asynccontextmanager
async def remote(**script):
    """Yield a `Remote` that listens on a free port of the loopback meanwhile."""
    there = Remote(**script)
    talks = set()

    async def talk(reader, writer):
        talks.add(asyncio.current_task())
        with suppress(OSError, asyncio.CancelledError):
            await _Conversation(there, reader, writer).run()
        writer.transport.abort() if script.get("rude") else writer.close()
        talks.discard(asyncio.current_task())

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**20)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        for task in tuple(talks):
            task.cancel()
        if talks:
            await asyncio.wait(tuple(talks))
