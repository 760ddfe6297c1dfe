"""What `bench.ingress` measures and what it needs: python -m bench.ingress_servers NAME PORT."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from aiohttp import web
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from kernel import maillog
from kernel.model.envelope import Blob
from kernel.model.questions import RelayAnswer, RelayQuestion
from kernel.runtime import settle_memory
from services.ingress import main as ingress
from services.ingress.settings import Settings
from tests.dialogs.house import MX, TAKEN, StubAuth
from tests.support.fakes import DictBlobs, RecordingBus, make_platform

TOKEN = "service-token"
LISTENER = replace(MX, max_message_size=60_000_000, max_connections=500)


async def stock(port: int) -> None:
    """Serve aiosmtpd as it comes."""
    make = partial(SMTP, Sink(), hostname="mx.ours.test", data_size_limit=60_000_000)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", port)
    await server.serve_forever()


class _Parrot(asyncio.Protocol):
    """Says what a server would, as fast as can be."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport, self._is_data, self._tail = transport, False, b""
        transport.write(b"220 mx.ours.test\r\n")

    def data_received(self, data: bytes) -> None:
        if self._is_data:
            self._tail = self._tail[-5:] + data[-5:]
            self._is_data = not self._tail.endswith(b"\r\n.\r\n")
            if not self._is_data:
                self._transport.write(b"250 OK\r\n")
            return
        if data == b"QUIT\r\n":
            self._transport.write(b"221 Bye\r\n")
            self._transport.close()
            return
        self._is_data = data.endswith(b"DATA\r\n")
        if data.startswith(b"EHLO"):
            self._transport.write(b"250-mx.ours.test\r\n250 PIPELINING\r\n")
            return
        commands = data.count(b"\r\n") - self._is_data
        self._transport.write(b"250 OK\r\n" * commands + b"354 Go\r\n" * self._is_data)


async def floor(port: int) -> None:
    """Serve numbers."""
    server = await asyncio.get_running_loop().create_server(_Parrot, "127.0.0.1", port)
    await server.serve_forever()


class _YesMan:
    """A directory that says yes at once."""

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def listener(self, _: str) -> object:
        return LISTENER

    async def decide(self, questions: Sequence[RelayQuestion]) -> Sequence[RelayAnswer]:
        return [RelayAnswer(TAKEN, "local") for _ in questions]


class _NoBus(RecordingBus):
    async def publish(self, *_: object) -> None:
        pass


class _NoBlobs(DictBlobs):
    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> Blob:
        return Blob(name, sum([len(chunk) async for chunk in chunks]))


async def wire(port: int) -> None:
    """Serve ingress with nothing behind it."""
    ingress.HttpDirectory = _YesMan
    maillog.configure("json", "error")
    where = {"listen_mx": f"127.0.0.1:{port}", "listen_submission": "", "listen_submissions": ""}
    with TemporaryDirectory() as folder:
        own = Settings(**where, tls_folder=Path(folder), self_test=False)
        await ingress.serve(make_platform(bus=_NoBus(), blobs=_NoBlobs()), own)


async def auth(port: int) -> None:
    """Serve an auth of simple rules."""
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", StubAuth({"mx": LISTENER}).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    settle_memory()  # as ingress does when it is ready; fair is to spare all of them the same
    asyncio.run(
        {"stock": stock, "floor": floor, "wire": wire, "auth": auth}[sys.argv[1]](int(sys.argv[2]))
    )
