"""The database, SQLite or PostgreSQL: connections, transactions, and whose fault a failure is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from asyncpg.exceptions import InterfaceError as AsyncpgInterfaceError
from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.ledger.adapters.tables import metadata
from services.ledger.ports import StoreUnavailableError

BUSY_TIMEOUT = 10.0  # seconds; auth may write to the same file
ANSWER_TIMEOUT = 60.0
"""Seconds for one statement: of a server whose host lost power, nothing is ever heard again."""
_BAD_DATA = ("22", "23")  # SQLSTATE classes: data exception, integrity constraint violation
_FAILURES = (DBAPIError, PoolTimeoutError, PostgresError, AsyncpgInterfaceError, OSError)


class Database:
    """Opens connections as they are needed."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
        self._engine = _engine(url, is_sqlite=self.is_sqlite)
        self._one_writer: asyncio.Lock | None = asyncio.Lock() if self.is_sqlite else None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that is committed at the end.

        On SQLite its first statement must write: a transaction that has read
        cannot wait for its turn to write. Raises `StoreUnavailableError`.
        """
        if self._one_writer is None:
            async with _translated(), self._engine.begin() as connection:
                yield connection
        else:
            async with self._one_writer, _translated(), self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection to read from. Raises `StoreUnavailableError`."""
        async with _translated(), self._engine.connect() as connection:
            yield connection

    async def check(self) -> None:
        """Raise `StoreUnavailableError` unless the ledger's tables are there."""
        async with self.reading() as connection:
            for table in metadata.sorted_tables:
                await connection.execute(sa.select(table).limit(0))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Tell an outage from a fault of the data: the latter goes on as it is."""
    try:
        yield
    except _FAILURES as error:
        if _is_bad_data(error):
            raise
        raise StoreUnavailableError(str(error).partition("\n")[0]) from error


def _is_bad_data(error: Exception) -> bool:
    state = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    return isinstance(error, DataError | IntegrityError) or state.startswith(_BAD_DATA)


def _engine(url: str, *, is_sqlite: bool) -> AsyncEngine:
    if not is_sqlite:
        return create_async_engine(
            url,
            connect_args={"command_timeout": ANSWER_TIMEOUT},
            pool_size=4,
            max_overflow=4,
            pool_pre_ping=True,
        )
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT})

    def prepare(connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's signature
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA cache_size=-16384")
        cursor.close()

    sa.event.listen(engine.sync_engine, "connect", prepare)
    return engine
