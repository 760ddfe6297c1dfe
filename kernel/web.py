"""Web: runs a service's HTTP application with uvicorn, inside our own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from kernel.settings import host_and_port

_BACKLOG = 2048

Application = Callable[..., Any]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: `kernel.runtime` owns the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_web(app: Application, listen: str) -> AsyncIterator[None]:
    """Serve ``app`` on ``listen`` (``HOST:PORT``) meanwhile; ends its requests before it stops."""
    listening = _listening(*host_and_port(listen))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # who asks is who connects: anybody can write a header
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name=f"web {listen}")
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `OSError`, where uvicorn would end the process.

    It names TCP as its protocol: asyncio turns Nagle's delay off for such sockets only,
    and an answer in two writes would otherwise take 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
