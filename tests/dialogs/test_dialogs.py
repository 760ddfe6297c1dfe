"""Plays every dialogue in this folder against a really served ingress.

``C:`` lines in a row go out in one write; ``X:`` sends octets written as Python escapes,
without a line end. ``S:`` is a line that must come, ``*`` stands for anything; ``S: 250 ...``
is a whole reply, ``S: 250 ... DSN`` one that ends with such a line. ``TLS`` does the
handshake, ``END`` awaits the server's hanging up. ``listener: NAME`` at the top names the
listener (``mx`` if not given), ``bare_line_ends: HOW`` and ``recipient_rate_per_ip: RATE`` change
that setting of it; ``STRANGER`` makes the client one. After the last line, nothing more may
come.

What nobody can write down beforehand stands in braces, in a ``C:`` line: ``{login MECHANISM
USER PASSWORD}`` begins a login with its initial response, ``{respond}`` answers the last ``S:``
line, a challenge. ``{x * 99}`` is as many ``x``.
"""

import asyncio
import re
from base64 import b64decode, b64encode
from itertools import groupby
from pathlib import Path

import pytest

from kernel.model.questions import BareLineEnds
from kernel.model.rate import Rate
from tests.dialogs.house import open_house
from tests.support import sasl

DIALOGS = sorted(Path(__file__).parent.glob("*.txt"))


def read(path):
    """Return the listener, what to change of it, and the steps as (line number, kind, text)."""
    listener, changes, steps = "mx", {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        kind, _, text = line.partition(": ")
        match kind.strip():
            case "listener":
                listener = text
            case "bare_line_ends":
                changes[kind] = BareLineEnds(text)
            case "recipient_rate_per_ip":
                changes[kind] = (Rate.parse(text),)
            case "C" | "S" | "X":
                steps.append((number, kind, text))
            case "TLS" | "END" | "STRANGER":
                steps.append((number, kind.strip(), ""))
            case _:
                assert not line or line.startswith("#"), f"{path.name}:{number}: {line!r}"
    return listener, changes, steps


def matches(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line) is not None


class Player:
    """Plays the client's part of a dialogue."""

    def __init__(self, path, client):
        self.path = path
        self.client = client
        self.heard = ""
        self.login = None

    async def play(self, steps):
        for kind, group in groupby(steps, lambda step: step[1]):
            lines = list(group)
            if kind == "C":
                said = [self.fill_in(text) for _, _, text in lines]
                self.client.send("".join(f"{text}\r\n" for text in said).encode())
                continue
            for number, _, text in lines:
                await self.step(number, kind, text)

    async def step(self, number, kind, text):
        match kind:
            case "X":
                self.client.send(text.encode().decode("unicode_escape").encode("latin-1"))
            case "S":
                await self.hear(number, text)
            case "TLS":
                await self.client.start_tls()
            case "END":
                assert await self.client.reader.read() == b"", f"{self.path.name}:{number}"

    async def hear(self, number, expected):
        code, dots, last = expected.partition(" ...")
        line = (await self.client.reader.readline()).decode()
        while dots and line.startswith(f"{code}-"):
            line = (await self.client.reader.readline()).decode()
        expected = f"{code}{last or ' *'}" if dots else expected
        assert line.endswith("\r\n"), f"{self.path.name}:{number}: the server hung up: {line!r}"
        self.heard = line[:-2]
        assert matches(expected, self.heard), f"{self.path.name}:{number}: {line!r}"

    def fill_in(self, text):
        return re.sub(r"\{(\w+)\b(.*?)\}", lambda match: self.words(match[1], match[2]), text)

    def words(self, what, how):
        match what:
            case "login":
                mechanism, name, password = how.split()
                self.login = sasl.client(mechanism, name, password, self.certificate())
                return encode(next(self.login))
            case "respond":
                return encode(self.login.send(b64decode(self.heard[4:])))
            case _:
                return what * int(how.removeprefix(" * "))

    def certificate(self):
        tls = self.client.writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) if tls else b""


def encode(response):
    return b64encode(response).decode()


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialogue(path, tmp_path):
    listener, changes, steps = read(path)
    async with open_house(tmp_path, max_errors=8) as house, asyncio.timeout(20):
        if changes:
            await house.change(listener, **changes)
        house.auth.stranger = any(kind == "STRANGER" for _, kind, _ in steps)
        client = await house.connect(listener)
        await Player(path, client).play(steps)
        if steps[-1][1] != "END":
            client.send(b"NOOP the-last-word\r\n")
            assert await client.reply() == "250 2.0.0 OK"
