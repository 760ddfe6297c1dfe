"""The database: SQLite or PostgreSQL, and what its troubles mean to us."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy import Connection, event, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.auth.ports import DirectoryUnavailableError, TakenError

PATIENCE = 5.0  # seconds for a connection, a lock or an answer; those who ask wait 10
CONNECTIONS = 5
_ALONE = 0x706F7374  # any number that nobody else locks
_TROUBLES = (DBAPIError, PoolTimeoutError, PostgresError, InterfaceError, OSError)


class Database:
    """Gives out connections. Made by `connect`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection to read with. Raises `DirectoryUnavailableError`."""
        with _troubles_named():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self, *, alone: bool = False) -> AsyncIterator[AsyncConnection]:
        """Yield a connection whose changes stand once the block ends, and not if it raises.

        What is read ``alone`` stays as it is until the block ends, before all others who
        want to be alone. Raises `DirectoryUnavailableError`, or `TakenError` when a
        constraint forbids it.
        """
        with _troubles_named():
            async with self._engine.connect() as connection:
                await connection.execution_options(writing=True)
                async with connection.begin():
                    if alone and connection.dialect.name == "postgresql":  # SQLite has one writer
                        await connection.execute(select(func.pg_advisory_xact_lock(_ALONE)))
                    yield connection


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Database]:
    """Yield the database of ``url``. Nothing is connected before it is needed."""
    engine = _engine(url)
    try:
        yield Database(engine)
    finally:
        await engine.dispose()


def _engine(url: str) -> AsyncEngine:
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_async_engine(
        url,
        pool_size=CONNECTIONS,
        pool_timeout=PATIENCE,
        pool_pre_ping=True,
        connect_args={"timeout": PATIENCE, "command_timeout": PATIENCE},
    )


def _sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=CONNECTIONS, pool_timeout=PATIENCE, connect_args={"timeout": PATIENCE}
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Leave transactions to us, and keep references whole. WAL is the file's own memory."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first: a reader that turns writer may find that it came too late."""
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def _troubles_named() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise TakenError(str(error.orig)) from error
    except _TROUBLES as error:
        raise DirectoryUnavailableError(str(error).partition("\n")[0]) from error
