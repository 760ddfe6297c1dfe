"""`postroom send` against an SMTP server."""

import asyncio

import pytest

from postroom import cli

REPLIES = {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}


@pytest.fixture
async def smtp(monkeypatch, tmp_path):
    """A server that takes mail for anybody but `nobody@...`; yields what it was told."""
    said = []

    async def serve(reader, writer):
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            said.append(line.decode().rstrip())
            if b"nobody@" in line:
                writer.write(b"550 5.1.1 who?\r\n")
                continue
            writer.write(REPLIES.get(line[:4].upper(), b"250 OK\r\n"))
            if line.upper().startswith(b"DATA"):
                said.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 2.0.0 kept as 01k\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setenv("POSTROOM_VAR", str(tmp_path))
    host, port = server.sockets[0].getsockname()
    monkeypatch.setenv("POSTROOM_SMTP", f"{host}:{port}")
    async with server:
        yield said


async def send(*words):
    """Return the exit code of `postroom send`."""
    return await asyncio.to_thread(cli.run, ["send", "--from", "ann@ours.test", *words])


async def test_the_last_reply_is_shown_for_it_names_the_mail(smtp, capsys):
    assert await send("--to", "bob@b.test", "--to", "cat@c.test", "--subject", "hello") == 0

    assert capsys.readouterr().out == "250 2.0.0 kept as 01k\n"
    assert "rcpt TO:<cat@c.test>" in smtp
    assert any("Subject: hello\r\n" in line for line in smtp)


async def test_a_refused_recipient_is_a_refusal(smtp, capsys):
    assert await send("--to", "nobody@b.test") == cli.REFUSED

    assert capsys.readouterr().err == "postroom: 550 5.1.1 who?\n"


async def test_nobody_listening_is_another_matter(smtp):
    assert await send("--to", "bob@b.test", "--server", "127.0.0.1:1") == cli.UNREACHABLE


async def test_a_server_without_a_port_is_a_fault_of_usage(smtp):
    assert await send("--to", "bob@b.test", "--server", "localhost") == cli.USAGE
