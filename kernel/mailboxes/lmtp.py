"""Mailboxes that another server keeps, and hands out itself: Dovecot or Cyrus, by LMTP (RFC 2033).

``lmtp://HOST:PORT`` or ``lmtp:///PATH/OF/SOCKET``. We only put mail in: its users collect it there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

from kernel.mailboxes.port import (
    MailboxRefusedError,
    MailboxUnavailableError,
    StoredMessage,
)
from kernel.model.address import Address
from kernel.model.reply import Reply
from kernel.smtp_reply import ReplyReader
from kernel.stuffing import Stuffer

DEFAULT_PORT = 24
PATIENCE = 60.0  # seconds for one step of the dialogue
_READ = 65_536  # octets
_ELSEWHERE = "mailboxes behind LMTP are collected from the server that keeps them"


class LmtpMailboxes:
    """One connection for each delivery. ``our_name`` is what we call ourselves in LHLO."""

    adds_trace = True

    def __init__(self, host: str, port: int, path: str, our_name: str) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._our_name = our_name

    async def deliver(
        self,
        mailbox: Address,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sender: Address | None = None,
    ) -> bool:
        """See `Mailboxes.deliver`.

        LMTP has no word for a twin: one that comes again after its answer was lost is there twice.
        """
        del key
        try:
            async with self._conversation() as conversation:
                await conversation.hand_over(sender, mailbox, chunks)
        except (OSError, EOFError, ValueError) as error:
            raise MailboxUnavailableError(f"{mailbox}: {error!r}") from error
        return True

    def claim(self, mailbox: Address) -> AbstractAsyncContextManager[None]:
        """See `Mailboxes.claim`: it is not ours to claim."""
        raise MailboxUnavailableError(f"{mailbox}: {_ELSEWHERE}")

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        """See `Mailboxes.messages`: not ours to know."""
        raise MailboxUnavailableError(f"{mailbox}: {_ELSEWHERE}")

    def read(self, mailbox: Address, key: str) -> AsyncGenerator[bytes, None]:
        """See `Mailboxes.read`: not ours to read."""
        raise MailboxUnavailableError(f"{mailbox}: {key}: {_ELSEWHERE}")

    async def delete(self, mailbox: Address, keys: Iterable[str]) -> None:
        """See `Mailboxes.delete`: not ours to empty."""
        raise MailboxUnavailableError(f"{mailbox}: {list(keys)}: {_ELSEWHERE}")

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator["_Conversation"]:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await self._connect()
        try:
            yield _Conversation(reader, writer, self._our_name)
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._path:
            return await asyncio.open_unix_connection(self._path)
        return await asyncio.open_connection(self._host, self._port)


class _Conversation:
    """The client's side of one LMTP session, one recipient."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, our_name: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._our_name = our_name
        self._replies = ReplyReader()
        self._heard: deque[Reply] = deque()

    async def hand_over(
        self, sender: Address | None, mailbox: Address, chunks: AsyncIterator[bytes]
    ) -> None:
        """Deliver one message. Raises `MailboxRefusedError`, OSError, EOFError or ValueError."""
        await self._answer()
        await self._say(f"LHLO {self._our_name}")
        await self._say(f"MAIL FROM:<{sender or ''}>")
        await self._say(f"RCPT TO:<{mailbox}>")
        await self._say("DATA")
        await self._content(chunks)
        await self._answer()
        self._writer.write(b"QUIT\r\n")

    async def _say(self, command: str) -> None:
        self._writer.write(f"{command}\r\n".encode())
        await self._answer()

    async def _content(self, chunks: AsyncIterator[bytes]) -> None:
        stuffer = Stuffer()
        async for chunk in chunks:
            self._writer.write(stuffer.feed(chunk))
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        self._writer.write(stuffer.end())

    async def _answer(self) -> None:
        """Hear an answer out; raise if it is a refusal."""
        async with asyncio.timeout(PATIENCE):
            reply = await self._read()
        if reply.is_permanent:
            raise MailboxRefusedError(reply)
        if not reply.is_positive:
            raise OSError(str(reply))

    async def _read(self) -> Reply:
        while not self._heard:
            octets = await self._reader.read(_READ)
            if not octets:
                raise EOFError("the connection was lost")
            self._heard.extend(self._replies.feed(octets))
        return self._heard.popleft()


def open_mailboxes(url: str, our_name: str) -> LmtpMailboxes:
    """Return the mailboxes that ``url`` names."""
    parts = urlsplit(url)
    if not parts.netloc and not parts.path.strip("/"):
        raise ValueError(f"{url} names no server: write lmtp://HOST:PORT or lmtp:///SOCKET")
    path = "" if parts.netloc else parts.path
    return LmtpMailboxes(parts.hostname or "", parts.port or DEFAULT_PORT, path, our_name)
