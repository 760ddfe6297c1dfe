"""Fakes of the ports: entered like production, they keep the ports' promises in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from pydantic import SecretStr

from kernel.blobs.port import BlobMissingError
from kernel.bus.port import Handler, Listener, Parked, QueueState
from kernel.mailboxes.port import MailboxBusyError, MessageMissingError, StoredMessage
from kernel.model.address import Address
from kernel.model.envelope import Blob
from kernel.model.events import Notice, Work
from kernel.platform import Platform
from kernel.settings import PlatformSettings
from tests.support.mail import NOON


class RecordingBus:
    """Remembers what was published; consumers and listeners are called by the test."""

    def __init__(self) -> None:
        self.published: list[Work] = []
        self.notices: list[Notice] = []
        self.handlers: dict[tuple[type, str], Handler] = {}
        self.listeners: list[tuple[type[Notice], Listener]] = []
        self.failure: Exception | None = None
        self.put_aside: list[Parked] = []
        self.states: tuple[QueueState, ...] = ()
        self.short_of = ""

    async def publish(self, *events: Work) -> None:
        if self.failure is not None:
            raise self.failure
        self.published.extend(events)

    async def consume(self, kind, handler, *, lane="", concurrency=64, again=None) -> None:
        self.handlers[kind, lane] = handler
        await asyncio.Event().wait()

    async def consume_together(self, kind, handler, *, lane="", limit=500) -> None:
        self.handlers[kind, lane] = handler
        await asyncio.Event().wait()

    async def broadcast(self, notice: Notice) -> None:
        if self.failure is not None:
            raise self.failure
        self.notices.append(notice)
        for kind, listener in self.listeners:
            if isinstance(notice, kind):
                await listener(notice)

    async def listen(self, kind, listener) -> None:
        self.listeners.append((kind, listener))
        await asyncio.Event().wait()

    async def queues(self) -> tuple[QueueState, ...]:
        return self.states

    async def shortage(self) -> str:
        return self.short_of

    async def parked(self, limit: int = 100) -> tuple[Parked, ...]:
        return tuple(self.put_aside[:limit])

    async def replay(self, key: str) -> bool:
        before = len(self.put_aside)
        self.put_aside = [one for one in self.put_aside if one.key != key]
        return len(self.put_aside) < before

    def trouble(self) -> str:
        return str(self.failure or "")


class DictBlobs:
    """A blob store in a dictionary."""

    def __init__(self) -> None:
        self.short_of = ""
        self.blobs: dict[str, bytes] = {}

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> Blob:
        data = b"".join([chunk async for chunk in chunks])
        self.blobs[name] = data
        return Blob(name, len(data))

    async def read(self, name: str) -> AsyncIterator[bytes]:
        if name not in self.blobs:
            raise BlobMissingError(name)
        yield self.blobs[name]

    async def delete(self, name: str) -> None:
        self.blobs.pop(name, None)

    async def shortage(self) -> str:
        return self.short_of

    async def older_than(self, moment: datetime) -> AsyncIterator[str]:
        for name in list(self.blobs):
            yield name


class DictMailboxes:
    """Mailboxes in a dictionary: {mailbox: {key: message}}."""

    adds_trace = False

    def __init__(self) -> None:
        self.boxes: dict[Address, dict[str, bytes]] = {}
        self.failure: Exception | None = None
        self.claimed: set[Address] = set()

    async def deliver(self, mailbox, key, chunks, *, sender=None) -> bool:
        if self.failure is not None:
            raise self.failure
        data = b"".join([chunk async for chunk in chunks])
        box = self.boxes.setdefault(mailbox, {})
        is_new = key not in box
        box.setdefault(key, data)
        return is_new

    @asynccontextmanager
    async def claim(self, mailbox: Address) -> AsyncIterator[None]:
        if mailbox in self.claimed:
            raise MailboxBusyError(str(mailbox))
        self.claimed.add(mailbox)
        try:
            yield
        finally:
            self.claimed.discard(mailbox)

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        return tuple(StoredMessage(k, len(v)) for k, v in self.boxes.get(mailbox, {}).items())

    async def read(self, mailbox: Address, key: str) -> AsyncIterator[bytes]:
        if key not in self.boxes.get(mailbox, {}):
            raise MessageMissingError(key)
        yield self.boxes[mailbox][key]

    async def delete(self, mailbox: Address, keys: Iterable[str]) -> None:
        for key in keys:
            self.boxes.get(mailbox, {}).pop(key, None)


def make_platform(**changes) -> Platform:
    """Return a platform of fakes at noon. ``settings`` may be a dictionary of changes."""
    settings = PlatformSettings(
        **{
            "hostname": "mx.ours.test",
            "domain": "ours.test",
            "service_token": SecretStr("service-token"),
            "health_listen": "",
            **changes.pop("settings", {}),
        }
    )
    parts = {
        "bus": RecordingBus(),
        "blobs": DictBlobs(),
        "mailboxes": DictMailboxes(),
        "clock": lambda: NOON,
    }
    return Platform(settings, **{**parts, **changes})
