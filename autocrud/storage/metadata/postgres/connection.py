"""Connections to PostgreSQL. Only this module translates asyncpg's errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from autocrud.errors import ConfigurationError, QueryTooExpensive, StorageUnavailable
from autocrud.storage.metadata.sql.query_slots import QUERY_WAIT_S, QuerySlots
from autocrud.storage.ports.not_open import StorageNotOpen

_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0
# The server finds out that the machine of a connection is gone. Through a pooler, these are its own connections.
_KEEPALIVE = "; ".join(
    (
        "SET tcp_keepalives_idle = 5",
        "SET tcp_keepalives_interval = 1",
        "SET tcp_keepalives_count = 3",
        "SET tcp_user_timeout = 5000",
    )
)


# Since PostgreSQL 14: a query of a process that died ends, too.
_NOTICE_CLIENTS = "SET client_connection_check_interval = 2000"
_NOTICING_VERSION = 14

_LOST_CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
)


class ConnectionLost(StorageUnavailable):
    """The connection ended, or never came about; whatever transaction was open on it is rolled back or committed."""


class PostgresConnections:
    """The connections that the models of one factory share.

    Args:
        url: `postgresql://user:password@host:port/database`.
        size: connections at most.
        statement_cache: prepared statements that a connection keeps; 0 for a pooler in transaction mode that knows
            nothing of them.
        query_wait: seconds that a query waits for a slot.

    Attributes:
        query_slots: of all queries, so that reads by id, writes and health checks have connections.
        expensive_slots: of those queries whose time grows with the model, and of exports.
    """

    def __init__(self, url: str, *, size: int, statement_cache: int, query_wait: float = QUERY_WAIT_S) -> None:
        self._url = url
        self._size = size
        self._statement_cache = statement_cache
        self._pool: Any = None
        self.query_slots = QuerySlots(max(1, size - max(2, size // 4)), query_wait)
        self.expensive_slots = QuerySlots(max(1, size // 2), query_wait)
        try:
            parts = urlsplit(url)
            self.host = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
        except ValueError as error:
            raise ConfigurationError("the URL of PostgreSQL cannot be read", argument="postgres_url") from error

    async def open(self) -> None:
        """Connect.

        Raises:
            ConfigurationError: the server cannot be reached, or refuses.
        """
        if self._pool is not None:
            return
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                timeout=_CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                statement_cache_size=self._statement_cache,
                init=_keep_alive,
                reset=_end_transaction,
            )
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConfigurationError(self._diagnose(error), argument="postgres_url") from _without_secrets(error)

    async def close(self) -> None:
        """Disconnect. May be called twice."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def fetch(self, sql: str, *arguments: Any, seconds: float | None = None) -> Sequence[Any]:
        """Rows of a statement that only reads; once more where the connection was lost under it.

        Args:
            seconds: time after which the server cancels the statement.

        Raises:
            QueryTooExpensive: the statement took longer.
        """
        try:
            async with self.connection() as connection:
                return await fetch_limited(connection, sql, arguments, seconds)
        except ConnectionLost:
            async with self.connection() as connection:
                return await fetch_limited(connection, sql, arguments, seconds)

    @asynccontextmanager
    async def query_slot(self, *, expensive: bool) -> AsyncIterator[None]:
        """Hold the slots of a query for the duration of the context.

        Raises:
            Overloaded: no slot became free in time.
        """
        if not expensive:
            async with self.query_slots.hold():
                yield
            return
        async with self.expensive_slots.hold(), self.query_slots.hold():
            yield

    async def check(self) -> None:
        """Say whether the server answers now.

        Raises:
            StorageUnavailable: it does not.
        """
        await self.fetch("SELECT 1")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for a while.

        Raises:
            ConnectionLost: there is none, or it ended meanwhile.
            StorageUnavailable: the server cannot do what it is asked now.
        """
        if self._pool is None:
            raise StorageNotOpen
        pool = self._pool
        try:
            with self.translate_errors():
                async with pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                    yield connection
        except ConnectionLost:
            # A restart of the server ends all of them, and the next one is to be a new one.
            await pool.expire_connections()
            raise

    @asynccontextmanager
    async def dedicated_connection(self) -> AsyncIterator[Any]:
        """A connection beside the pool, for what takes long: it has no limit of time, and takes none from others.

        Raises:
            ConnectionLost, StorageUnavailable: as `connection`.
        """
        with self.translate_errors():
            connection = await asyncpg.connect(
                self._url, timeout=_CONNECT_SECONDS, statement_cache_size=self._statement_cache
            )
            try:
                yield connection
            except BaseException:
                connection.terminate()
                raise
            await connection.close(timeout=_CONNECT_SECONDS)

    async def commit(self, connection: Any) -> bool:
        """Commit. Return False if the answer was lost, so that the outcome is unknown."""
        try:
            with self.translate_errors():
                await connection.execute("COMMIT")
        except StorageUnavailable:
            return False
        return True

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise the project's errors in place of asyncpg's."""
        try:
            yield
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from error

    def _translate(self, error: Exception) -> Exception:
        message = f"PostgreSQL at {self.host}: {str(error) or type(error).__name__}."
        if isinstance(error, TimeoutError | asyncpg.QueryCanceledError | asyncpg.InsufficientResourcesError):
            return StorageUnavailable(message)
        if isinstance(error, asyncpg.TransactionRollbackError):  # a deadlock with a change of the tables
            return StorageUnavailable(message)
        if isinstance(error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError):
            reason = "a pooler in transaction mode is between, which needs statement_cache=0"
            return StorageUnavailable(f"PostgreSQL at {self.host}: {reason}.")
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError | asyncpg.LockNotAvailableError):
            return StorageUnavailable(message)
        if isinstance(error, _LOST_CONNECTION_ERRORS) and not isinstance(error, ValueError | TypeError):
            return ConnectionLost(message)
        return error

    def _diagnose(self, error: Exception) -> str:
        where = f"PostgreSQL at {self.host}"
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            return f"{where} refuses the user or the password"
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            return f"{where} has no such database"
        if isinstance(error, ValueError):
            return "the URL of PostgreSQL cannot be read"
        if isinstance(error, OSError):  # also TimeoutError
            return f"{where} cannot be reached: {error.strerror or 'no answer'}"
        if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.PostgresConnectionError):
            return f"{where} cannot be reached: it is starting or stopping. Start again when it is up"
        return f"{where} refuses the connection: {type(error).__name__}"


async def fetch_limited(
    connection: Any, sql: str, arguments: Sequence[Any], seconds: float | None = None
) -> Sequence[Any]:
    """Return the rows of a statement, which the server cancels after a time.

    Raises:
        QueryTooExpensive: the statement took longer.
    """
    try:
        # asyncpg sends the server a request to cancel the statement, and waits until it has ended.
        rows: Sequence[Any] = await connection.fetch(sql, *arguments, timeout=seconds)
    except TimeoutError:
        if seconds is None:
            raise
        # A statement that ended between its preparation and its execution leaves an implicit transaction.
        await connection.execute("ROLLBACK")
        raise QueryTooExpensive from None
    return rows


async def _end_transaction(connection: Any) -> None:
    """Nothing is set for longer than a transaction: only one that is still open is worth a round trip."""
    if connection.is_in_transaction():
        await connection.reset()
        await _keep_alive(connection)


async def _keep_alive(connection: Any) -> None:
    notices = connection.get_server_version().major >= _NOTICING_VERSION
    await connection.execute(f"{_KEEPALIVE}; {_NOTICE_CLIENTS}" if notices else _KEEPALIVE)


def _without_secrets(error: Exception) -> Exception | None:
    """The cause to show. A URL that cannot be read stands in the message about it, with the password in it."""
    return None if isinstance(error, ValueError) else error
