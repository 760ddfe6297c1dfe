"""``python -m migrations``: waits for the database, upgrades it, and ends."""

import asyncio

import structlog
from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from kernel import maillog
from kernel.platform import with_password
from kernel.settings import PlatformSettings
from migrations.upgrade import upgrade

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds
UNREACHABLE = (DBAPIError, OSError, PostgresError, InterfaceError)
_log = structlog.get_logger("migrations")


async def wait_for_database(url: str) -> None:
    """Return once the database lets us in; says meanwhile why it does not."""
    engine = create_async_engine(url, poolclass=NullPool)
    pause = FIRST_PAUSE
    while True:
        try:
            async with engine.connect():
                return
        except UNREACHABLE as error:
            _log.warning("database out of reach", why=str(error), again_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def _upgrade(url: str) -> None:
    if not url.startswith("sqlite"):
        await wait_for_database(url)
    await upgrade(url)


def main() -> None:
    """Upgrade the database that ``POSTROOM_DATABASE_URL`` names."""
    settings = PlatformSettings()
    maillog.configure(settings.log_format, settings.log_level)
    asyncio.run(_upgrade(with_password(settings.database_url, settings.database_password)))
    _log.info("the database is up to date")


if __name__ == "__main__":
    main()
