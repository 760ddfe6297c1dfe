"""Plays every remote in this folder to our courier, over a socket.

A file tells what a server does, line by line, and what becomes of the mail.

``C:`` is a line that the client must have said, ``*`` stands for anything; ``S:`` is a line for
it. ``HELLO: A, B`` greets, and answers EHLO with the extensions A and B. ``CONTENT`` takes a
message up to its dot, ``CHUNK`` the octets that the last ``C: BDAT`` announced, ``CHUNKS`` several
such chunks before it takes all but the last; each must be what was to be sent. ``SOME`` takes a
little of what comes, and overhears what comes then. ``X:`` says octets written as Python escapes,
without a line end; ``DRIP:`` says them one by one, slowly. ``{x * 99}`` is as many ``x``. ``TLS``
does the handshake. ``SILENCE`` says nothing until the client hangs up, ``DEAF`` does not even
read; ``HANG UP`` does what it says, ``NEXT`` awaits one more connection. After the last line only
QUIT may come.

``bob: 250 2.0.0 *`` is the reply with which bob ends, and makes him a recipient; said again, it
is that for a second message. Anywhere: ``content:`` is the kind of message (else small), ``login:
MECHANISM`` lets us log in, ``guarded: yes`` wants proof of the server's name, ``certificate: NAME``
is the name that it can prove, ``impatient: PHASE`` gives a quarter of a second for that phase,
instead of ten.
"""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from kernel.clock import system_clock
from kernel.model.address import Address
from kernel.model.envelope import Blob, Body
from kernel.model.sending import Route, Sending
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase
from services.delivery.fellows import Fellows
from services.delivery.ports import Site
from services.delivery.shaping import Manners, Shaping
from tests.support.certificates import Authority
from tests.support.fakes import DictBlobs, RecordingBus, make_platform
from tests.support.mail import MESSAGE, make_leg

REMOTES = sorted(Path(__file__).parent.glob("*.txt"))
DEADLINE = 20
CONTENTS = {
    "small": MESSAGE,
    "dotted": b"Subject: x\r\n\r\n.\r\n..\r\n.dot\r\n",
    "unended": b"Subject: x\r\n\r\nno line end",
    "binary": b"Subject: x\r\n\r\n\0\r\n",
    "8-bit": b"Subject: x\r\n\r\n\xff\r\n",
    "large": MESSAGE + b"a line of some length, and another, and another\r\n" * 200_000,
}
OPTIONS = ("content", "login", "guarded", "certificate", "impatient")
MANY = re.compile(rb"\{(.+?) \* (\d+)\}", re.DOTALL)


@dataclass
class Scenario:
    """A file, read. A step is (line number, what, words)."""

    options: dict[str, str] = field(default_factory=lambda: dict.fromkeys(OPTIONS, ""))
    steps: list[tuple[int, str, str]] = field(default_factory=list)
    fates: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path):
        scenario = cls()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            what, colon, words = line.partition(":")
            words = words.removeprefix(" ")
            if what in OPTIONS:
                scenario.options[what] = words
            elif not colon or what.isupper():
                if line and not line.startswith("#"):
                    scenario.steps.append((number, what, words))
            elif not line.startswith("#"):
                if not scenario.fates or what in scenario.fates[-1]:
                    scenario.fates.append({})
                scenario.fates[-1][what] = words
        assert scenario.fates, f"{path.name} says nothing of any recipient"
        return scenario

    @property
    def content(self):
        return CONTENTS[self.options["content"] or "small"]

    def leg(self):
        """Return the leg of a message: a large one is a blob, others travel in their event."""
        kind, content = self.options["content"], self.content
        to = [Address(name, "elsewhere.test") for name in self.fates[0]]
        leg = make_leg(*to, content=Blob("m", len(content)) if kind == "large" else content)
        body = Body.BINARY if kind == "binary" else Body.SEVEN_BIT
        return replace(leg, envelope=replace(leg.envelope, body=body))


class Server:
    """Does what the steps say. ``done`` is set once it has, or tells why it could not."""

    def __init__(self, path, scenario, tls):
        self.path, self.content, self.tls = path, scenario.content, tls
        self.steps = iter(scenario.steps)
        self.over = asyncio.Event()
        self.done = asyncio.get_running_loop().create_future()
        self.talks = set()
        self.at = self.heard = ""
        self.chunks = b""

    async def talk(self, reader, writer):
        self.talks.add(asyncio.current_task())
        self.reader, self.writer, self.listens = reader, writer, True
        try:
            await self.play()
        except AssertionError as error:
            self.done.set_exception(error)
        finally:
            writer.transport.abort()

    async def play(self):
        for number, what, words in self.steps:
            if what == "NEXT":
                return
            self.at = f"{self.path.name}:{number}"
            await getattr(self, STEPS[what])(words)
        rest = await self.read(self.reader.read())
        assert not self.listens or rest in (b"", b"QUIT\r\n"), (
            f"{self.at}: and then: {rest[:200]!r}"
        )
        self.done.set_result(None)

    async def read(self, reading):
        try:
            return await reading
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""

    async def expect(self, pattern):
        line = (await self.read(self.reader.readline())).decode("utf-8", "replace")
        assert line.endswith("\r\n"), f"{self.at}: the client hung up: {line!r}"
        self.heard = line[:-2]
        wanted = ".*".join(map(re.escape, pattern.split("*")))
        assert re.fullmatch(wanted, self.heard), f"{self.at}: {self.heard!r}"

    async def say(self, words):
        await self.write(f"{words}\r\n".encode())

    async def say_raw(self, words):
        await self.write(unescaped(words))

    async def write(self, octets):
        self.writer.write(octets)
        with suppress(ConnectionError):  # whether it listens is the client's own affair
            await self.writer.drain()

    async def drip(self, words):
        for octet in unescaped(words):
            await self.write(bytes([octet]))
            await asyncio.sleep(0.03)

    async def hello(self, words):
        await self.say("220 there.test")
        await self.expect("EHLO us.test")
        *lines, last = ["there.test", *filter(None, words.split(", "))]
        await self.write("".join(f"250-{line}\r\n" for line in lines).encode())
        await self.say(f"250 {last}")

    async def take_content(self, _):
        whole = bytearray()
        while not whole.endswith(b"\r\n.\r\n"):
            line = await self.read(self.reader.readline())
            assert line, f"{self.at}: the client hung up"
            whole += line
        end = b"" if self.content.endswith(b"\r\n") else b"\r\n"
        assert bytes(whole[:-3]).replace(b"\r\n..", b"\r\n.") == self.content + end, self.at

    async def take_chunk(self, _):
        _, size, *last = self.heard.split()
        self.chunks += await self.read(self.reader.readexactly(int(size)))
        if last:
            assert self.chunks == self.content, self.at
            self.chunks = b""
        return bool(last)

    async def take_chunks(self, _):
        count = 0
        while True:
            await self.expect("BDAT *")
            if await self.take_chunk(""):
                break
            count += 1
        assert count, f"{self.at}: it came in one"
        await self.write(b"250 2.0.0 Go on\r\n" * count)

    async def take_some(self, _):
        assert await self.read(self.reader.read(1)), f"{self.at}: the client hung up"
        self.listens = False

    async def secure(self, _):
        with suppress(OSError):
            await self.writer.start_tls(self.tls)

    async def hear_the_end(self, _):
        rest = await self.read(self.reader.read())
        if self.listens:
            assert rest in (b"", b"QUIT\r\n"), f"{self.at}: and then: {rest[:200]!r}"

    async def be_deaf(self, _):
        self.writer.transport.pause_reading()
        await self.over.wait()
        await self.hang_up("")

    async def hang_up(self, _):
        self.listens = False
        self.writer.transport.abort()


STEPS = {
    "C": "expect",
    "S": "say",
    "X": "say_raw",
    "DRIP": "drip",
    "HELLO": "hello",
    "CONTENT": "take_content",
    "CHUNK": "take_chunk",
    "CHUNKS": "take_chunks",
    "SOME": "take_some",
    "TLS": "secure",
    "SILENCE": "hear_the_end",
    "DEAF": "be_deaf",
    "HANG UP": "hang_up",
}


class Directions:
    """Everybody's mail goes to one host."""

    def __init__(self, port, options):
        host = Host("mx.elsewhere.test", "127.0.0.1", port)
        login = options["login"]
        route = Route("*", login="ann", password="secret", mechanism=login) if login else None
        guarded = bool(options["guarded"])
        self.site = Site("site", (host,), is_ours_to_name=True, guarded=guarded, route=route)

    async def find(self, domain):
        return self.site


class LargeBlob(DictBlobs):
    """The large message, in pieces as a store gives them."""

    async def read(self, name):
        content = CONTENTS["large"]
        for start in range(0, len(content), 2**16):
            yield content[start : start + 2**16]


def unescaped(words):
    octets = words.encode().decode("unicode_escape").encode("latin-1")
    return MANY.sub(lambda match: match[1] * int(match[2]), octets)


def make_courier(port, options, authority):
    timeouts = dict.fromkeys(Phase, 10.0)
    if options["impatient"]:
        timeouts[Phase(options["impatient"])] = 0.25
    trust = ssl.create_default_context(cadata=authority.pem)
    dialler = Dialler(Dialling("us.test", timeouts, connect_timeout=10.0), trust)
    shaping = Shaping(Manners(), Fellows(RecordingBus()), system_clock)
    return SmtpCourier(
        Directions(port, options),
        dialler,
        Preparer(make_platform(blobs=LargeBlob()), Sending),
        shaping,
    )


@pytest.fixture(scope="module")
def authority():
    return Authority()


def certificate(authority, folder, name):
    authority.issue(folder, name or "mx.elsewhere.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    return tls


@pytest.mark.parametrize("path", REMOTES, ids=lambda path: path.stem)
async def test_remote(path, authority, tmp_path):
    scenario = Scenario.read(path)
    tls = certificate(authority, tmp_path, scenario.options["certificate"])
    server = Server(path, scenario, tls)
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0, limit=2**24)
    try:
        port = listener.sockets[0].getsockname()[1]
        courier = make_courier(port, scenario.options, authority)
        async with asyncio.timeout(DEADLINE):
            for fates in scenario.fates:
                await deliver(courier, scenario, fates, server)
            server.over.set()
            courier.close()
            await server.done
    finally:
        listener.close()
        for talk in server.talks:
            talk.cancel()
        await asyncio.gather(*server.talks, return_exceptions=True)


async def deliver(courier, scenario, fates, server):
    carried = await courier.carry(scenario.leg())
    if server.done.done():
        server.done.result()
    ended = {str(address.local): str(reply) for address, reply in carried.replies.items()}
    assert ended.keys() == fates.keys(), server.at
    for name, reply in ended.items():
        assert fnmatchcase(reply, fates[name]), f"{name}, at {server.at}: {reply}"
