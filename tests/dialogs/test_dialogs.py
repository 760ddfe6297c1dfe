"""Plays every dialogue in this folder against a really served ingress.

``C:`` lines in a row go out in one write; ``X:`` sends octets written as Python escapes,
without a line end. ``S:`` is a line that must come, ``*`` stands for anything. ``TLS``
does the handshake, ``END`` awaits the server's hanging up. ``listener: NAME`` at the
top names the listener (``mx`` if not given). After the last line, nothing more may come.
"""

import asyncio
import re
import ssl
from itertools import groupby
from pathlib import Path

import pytest

from tests.dialogs.house import open_house

DIALOGS = sorted(Path(__file__).parent.glob("*.txt"))


def read(path):
    """Return the listener, and the steps as (line number, kind, text)."""
    listener, steps = "mx", []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        kind, _, text = line.partition(": ")
        match kind.strip():
            case "listener":
                listener = text
            case "C" | "S" | "X":
                steps.append((number, kind, text))
            case "TLS" | "END":
                steps.append((number, kind.strip(), ""))
            case _:
                assert not line or line.startswith("#"), f"{path.name}:{number}: {line!r}"
    return listener, steps


def matches(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line) is not None


async def hear(client, path, number, expected):
    line = (await client.reader.readline()).decode()
    assert line.endswith("\r\n"), f"{path.name}:{number}: the server hung up: {line!r}"
    assert matches(expected, line[:-2]), f"{path.name}:{number}: {line!r}"


async def start_tls(client):
    context = ssl._create_unverified_context()
    await client.writer.start_tls(context, server_hostname="mx.ours.test")


async def play(path, client, steps):
    for kind, group in groupby(steps, lambda step: step[1]):
        lines = list(group)
        if kind == "C":
            client.send("".join(f"{text}\r\n" for _, _, text in lines).encode())
            continue
        for number, _, text in lines:
            match kind:
                case "X":
                    client.send(text.encode().decode("unicode_escape").encode("latin-1"))
                case "S":
                    await hear(client, path, number, text)
                case "TLS":
                    await start_tls(client)
                case "END":
                    assert await client.reader.read() == b"", f"{path.name}:{number}"


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialogue(path, tmp_path):
    listener, steps = read(path)
    async with open_house(tmp_path, max_errors=8) as house, asyncio.timeout(20):
        client = await house.connect(listener)
        await play(path, client, steps)
        if steps[-1][1] != "END":
            client.send(b"NOOP the-last-word\r\n")
            assert await client.reply() == "250 2.0.0 OK"
