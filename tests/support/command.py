"""The command, and servers that it asks: one that says what it is told to, and a real auth."""

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from postroom import cli
from tests.support.auth import PASSWORD, served_auth


class Stub:
    """Answers what it was told to, and remembers what it was asked."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.headers = []

    async def handle(self, request):
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, dict(request.query), body))
        self.headers.append(request.headers)
        answers = self.answers[request.method, request.path]
        status, content, *headers = answers.pop(0) if isinstance(answers, list) else answers
        kind = "application/json" if status < 400 else "application/problem+json"
        return web.Response(
            status=status,
            body=json.dumps(content),
            content_type=kind,
            headers=headers[0] if headers else {},
        )


@asynccontextmanager
async def stub_server(monkeypatch, folder):
    """Yield a stub that the command finds, run from ``folder``."""
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    async with TestServer(app) as running:
        for name in ("AUTH", "LEDGER", "INGRESS"):
            monkeypatch.setenv(f"POSTROOM_{name}_URL", str(running.make_url("/")))
        monkeypatch.setenv("POSTROOM_VAR", str(folder))
        monkeypatch.setenv("POSTROOM_ADMIN_PASSWORD", "secret")
        yield stub


@asynccontextmanager
async def real_auth(monkeypatch, folder, **how):
    """Yield an auth that the command finds, run from ``folder``."""
    url = f"sqlite+aiosqlite:///{folder}/postroom.db"
    with capture_logs():  # they would stand between what the command prints
        async with served_auth(url, **how) as auth:
            monkeypatch.setenv("POSTROOM_AUTH_URL", auth.url)
            monkeypatch.setenv("POSTROOM_VAR", str(folder))
            monkeypatch.setenv("POSTROOM_ADMIN_PASSWORD", PASSWORD)
            yield auth


async def postroom(*words):
    """Return the exit code of the command."""
    return await asyncio.to_thread(cli.run, words)
