"""Ledger: remembers what became of every message, and keeps what has to wait.

Consumes `MailTraced` and `MailDeferred`; emits `MailRouted` once it is due. Serves the
REST API. Asks auth who may look.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

import structlog

from kernel.bus.port import BusUnavailableError
from kernel.http import Peer
from kernel.model.events import MailDeferred, MailTraced
from kernel.platform import Platform, with_password
from kernel.runtime import Service, run
from kernel.web import serve_web
from services.ledger.adapters.books import SqlBooks
from services.ledger.adapters.database import Database
from services.ledger.adapters.doorkeeper import Doorkeeper
from services.ledger.adapters.reading import Reading
from services.ledger.adapters.waiting import SqlWaitingRoom
from services.ledger.edge import Desk, application
from services.ledger.metrics import DRIFT, OPEN, QUEUE_READY, WAITING
from services.ledger.ports import StoreUnavailableError
from services.ledger.service import Intake, Ledger
from services.ledger.settings import Settings
from services.ledger.sweeping import Sweeper
from services.ledger.waiting import Releaser

DEFERRALS_AT_ONCE = 100
GAUGES_EVERY = 15.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

_log = structlog.get_logger("ledger")


async def serve(platform: Platform, settings: Settings) -> None:
    """Keep the ledger until cancelled."""
    token = platform.settings.service_token.get_secret_value()
    async with _database(platform) as database, Peer(platform.settings.auth_url, token) as auth:
        books, room, reading = SqlBooks(database), SqlWaitingRoom(database), Reading(database)
        ledger = Ledger(platform, books, room)
        traces = Intake(ledger.trace, platform.bus, settings.patience, pace=settings.pace)
        deferrals = Intake(ledger.defer, platform.bus, settings.patience)
        releaser = Releaser(platform, room, settings.tick, traces.trouble)
        doorkeeper = Doorkeeper(auth, asyncio.get_running_loop().time)
        desk = Desk(platform, reading, room, doorkeeper, releaser.nudge)
        consume = platform.bus.consume_together
        platform.health.watch("ledger: database", lambda: traces.trouble() or deferrals.trouble())
        platform.health.watch("ledger: release", releaser.trouble)
        async with serve_web(application(desk), settings.listen), asyncio.TaskGroup() as tasks:
            tasks.create_task(consume(MailTraced, traces.take, limit=settings.concurrency))
            tasks.create_task(consume(MailDeferred, deferrals.take, limit=DEFERRALS_AT_ONCE))
            tasks.create_task(releaser.run())
            tasks.create_task(Sweeper(platform, books, room, settings).run())
            tasks.create_task(_measure(platform, reading))
            platform.health.ready("ledger")


@asynccontextmanager
async def _database(platform: Platform) -> AsyncIterator[Database]:
    """Yield the database once our tables are there; health says meanwhile what is missing."""
    settings = platform.settings
    database = Database(with_password(settings.database_url, settings.database_password))
    async with aclosing(database):
        pause = FIRST_PAUSE
        while trouble := await _missing(database):
            platform.health.watch("ledger", partial(str, trouble))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        yield database


async def _missing(database: Database) -> str:
    try:
        await database.check()
    except StoreUnavailableError as error:
        return f"waiting for the database: {error}"
    return ""


async def _measure(platform: Platform, reading: Reading) -> None:
    """Set the gauges now and then, until cancelled."""
    while True:
        try:
            open_recipients, waiting, silent = await reading.gauges(platform.clock())
            queues = await platform.bus.queues()
        except (StoreUnavailableError, BusUnavailableError) as error:
            _log.warning("cannot measure", why=str(error))
        else:
            for gauge, value in ((OPEN, open_recipients), (WAITING, waiting), (DRIFT, silent)):
                gauge.set(value)
            for queue in queues:
                QUEUE_READY.labels(queue.name).set(queue.ready)
        await asyncio.sleep(GAUGES_EVERY)


def main() -> None:
    """Run the ledger alone in this process."""
    run(Service("ledger", partial(serve, settings=Settings())))
