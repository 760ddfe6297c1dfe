"""`postroom migrate`: brings the database's tables up to date."""

from kernel.platform import with_password
from postroom.settings import DatabaseSettings


async def migrate() -> None:
    """Bring the database's tables up to date."""
    from migrations.upgrade import upgrade  # noqa: PLC0415 - needs the database's libraries

    settings = DatabaseSettings()
    await upgrade(with_password(settings.database_url, settings.database_password))
    print("the tables are up to date")
