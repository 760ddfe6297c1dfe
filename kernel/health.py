"""Health: what keeps this process from being ready, and the small HTTP server that says so.

``/healthz`` answers 200 while the process lives; ``/readyz`` answers 200 once every
service in it works, else 503 with the reasons; ``/metrics`` is for Prometheus. What a service
that has no API of its own can be asked stands at ``POST /internal/…``, for who shows the service
credential.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from kernel import metrics
from kernel.http import shows_token
from kernel.settings import host_and_port

Check = Callable[[], str]
"""Returns what is wrong, or an empty string."""

Answerer = Callable[[bytes], Awaitable[bytes]]
"""Answers a question in JSON, in JSON. Raises `ValueError` if it is none."""

STARTING = "starting"


class Health:
    """Collects the troubles of everything that runs in this process."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.answerers: dict[str, Answerer] = {}

    def watch(self, name: str, check: Check) -> None:
        """Ask ``check`` whenever somebody asks us. A name has one check: the latest."""
        self._checks[name] = check

    def expect(self, name: str) -> None:
        """Count ``name`` as starting until it calls `ready`."""
        self.watch(name, lambda: STARTING)

    def ready(self, name: str) -> None:
        """Say that ``name`` works now."""
        self.watch(name, lambda: "")

    def troubles(self) -> dict[str, str]:
        """Return what is not ready, and why."""
        found = {name: check() for name, check in self._checks.items()}
        return {name: trouble for name, trouble in found.items() if trouble}


@asynccontextmanager
async def serve_health(health: Health, listen: str, token: str = "") -> AsyncIterator[None]:
    """Answer health questions on ``listen`` (``HOST:PORT``; empty: nowhere) meanwhile."""
    if not listen:
        yield
        return
    app = web.Application()
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _readiness(health))
    app.router.add_get("/metrics", _metrics)
    app.router.add_post("/internal/{name}", _answering(health, token))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *host_and_port(listen)).start()
        yield
    finally:
        await runner.cleanup()


async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"alive": True})


def _readiness(health: Health) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def readiness(_: web.Request) -> web.Response:
        troubles = health.troubles()
        return web.json_response(
            {"ready": not troubles, "troubles": troubles}, status=503 if troubles else 200
        )

    return readiness


async def _metrics(_: web.Request) -> web.Response:
    body, content_type = metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})


def _answering(health: Health, token: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if not shows_token(request.headers.get("Authorization"), token):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        answerer = health.answerers.get(request.match_info["name"])
        if answerer is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        try:
            answered = await answerer(await request.read())
        except ValueError as error:
            problem = {"detail": str(error)}
            return web.json_response(problem, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        return web.Response(body=answered, content_type="application/json")

    return answer
