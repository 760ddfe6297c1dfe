"""Auth: who may do what. Users, domains, aliases, networks, listeners; the relay decision.

Asked over HTTP; consumes and emits `DirectoryChanged`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import structlog

from kernel.model.events import DirectoryChanged
from kernel.names import NameServers
from kernel.platform import Platform, with_password
from kernel.runtime import Service, run
from kernel.web import serve_web
from services.auth.adapters import database
from services.auth.adapters.database import Database
from services.auth.adapters.gateway import spelled_out
from services.auth.adapters.passwords import Passwords
from services.auth.adapters.records import SqlRecords
from services.auth.adapters.sealing import RETURNS, Seal, derived
from services.auth.bootstrap import furnish
from services.auth.core.grants import Granting
from services.auth.core.lan import Networks
from services.auth.desk import Desk
from services.auth.directory import Directory
from services.auth.edge.app import application
from services.auth.errands import Errands
from services.auth.greylisting import Greylisting
from services.auth.keys import Keys
from services.auth.lockouts import Lockouts
from services.auth.logins import Logins
from services.auth.ports import DirectoryUnavailableError
from services.auth.relaying import Relaying
from services.auth.sending import SendingOffice
from services.auth.settings import ChallengeSecretsFor, Settings
from services.auth.surveying import Surveyor
from services.auth.upkeep import Upkeep

NAME = "auth"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds, while the database is out of reach
CHECK_EVERY = 2.0  # seconds
_log = structlog.get_logger("auth")


async def serve(platform: Platform, settings: Settings) -> None:
    """Answer until cancelled."""
    async with open_desk(platform, settings) as desk:
        await _furnish_when_reachable(platform, settings, desk)
        async with serve_web(application(desk), settings.listen):
            platform.health.ready(NAME)
            platform.health.watch(NAME, lambda: desk.directory.trouble)
            await heed(platform, desk)


@asynccontextmanager
async def open_desk(platform: Platform, settings: Settings | None = None) -> AsyncIterator[Desk]:
    """Yield the desk of this process; connects to nothing before it is needed."""
    common = platform.settings
    chosen = settings or Settings()
    url = with_password(common.database_url, common.database_password)
    seal = _seal(chosen)
    seals_main = chosen.challenge_secrets is ChallengeSecretsFor.ALWAYS
    with closing(Passwords(seal=seal, seals_main=seals_main)) as passwords:
        async with database.connect(url) as db, aclosing(Errands()) as errands:
            yield _desk(platform, chosen, db, Secrecy(seal, passwords), errands)


@dataclass(frozen=True, slots=True)
class Secrecy:
    """What secrets are sealed with, and what judges passwords."""

    seal: Seal | None
    passwords: Passwords


def _seal(settings: Settings) -> Seal | None:
    if settings.secret_key is None:
        _log.warning("there is no secret key: CRAM-MD5 and SCRAM will refuse everybody")
        return None
    return Seal(settings.secret_key.get_secret_value())


def _desk(
    platform: Platform, settings: Settings, db: Database, secrecy: Secrecy, errands: Errands
) -> Desk:
    token = platform.settings.service_token
    secret, passwords = (settings.secret_key or token).get_secret_value(), secrecy.passwords
    return_key = derived(secret, RETURNS)
    never_lan = spelled_out(settings.lan_never)
    records = _records(platform, settings, db, never_lan, return_key)
    directory = Directory(records)
    dns = partial(NameServers.of, settings)
    return Desk(
        database=db,
        directory=directory,
        relaying=Relaying(directory, platform.clock),
        logins=Logins(
            directory,
            passwords,
            Lockouts(db, platform.bus, platform.clock, errands),
            Upkeep(db, directory, passwords, errands, platform.clock),
            key=secret.encode(),
        ),
        greylisting=Greylisting(db, platform.clock, errands),
        sending=SendingOffice(db, secrecy.seal, return_key, records.names),
        seal=secrecy.seal,
        dns=dns,
        surveyor=Surveyor(
            platform.settings.hostname, settings.public_addresses, dns, platform.clock
        ),
        passwords=passwords,
        keys=Keys(db, platform.clock),
        bus=platform.bus,
        clock=platform.clock,
        token=token.get_secret_value(),
        never_lan=never_lan,
        errands=errands,
    )


def _records(
    platform: Platform,
    settings: Settings,
    db: Database,
    never_lan: tuple[str, ...],
    return_key: bytes,
) -> SqlRecords:
    return SqlRecords(
        db,
        platform.settings.hostname,
        platform.clock,
        addresses=settings.addresses,
        never_lan=never_lan,
        granting=_granting(settings),
        return_key=return_key,
    )


def _granting(settings: Settings) -> Granting:
    never = Networks.of(spelled_out(settings.grant_never))
    return Granting(settings.grant_time, settings.grant_prefix, never)


async def _furnish_when_reachable(platform: Platform, settings: Settings, desk: Desk) -> None:
    """Wait for the database and its tables, however long; health says why meanwhile."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await furnish(
                desk.database,
                desk.passwords,
                domain=platform.settings.domain,
                lan=settings.lan,
                password=settings.admin_password,
            )
        except DirectoryUnavailableError as error:
            trouble = f"the database: {error}"
            platform.health.watch(NAME, partial(str, trouble))
            _log.warning("waiting for the database", why=str(error), again_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def heed(platform: Platform, desk: Desk) -> None:
    """Drop what others have changed, and watch whether the database answers, until cancelled."""

    async def drop(notice: DirectoryChanged) -> None:
        desk.heed(notice)

    async def check() -> None:
        while True:
            await desk.directory.check()
            await asyncio.sleep(CHECK_EVERY)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(platform.bus.listen(DirectoryChanged, drop))
        tasks.create_task(check())


def main() -> None:
    """Run auth alone in this process."""
    run(Service(NAME, partial(serve, settings=Settings())))
