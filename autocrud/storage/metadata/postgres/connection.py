"""Connections to PostgreSQL. Only this module translates asyncpg's errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.ports.not_open import StorageNotOpen

_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0


_LOST_CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
)


class ConnectionLost(StorageUnavailable):
    """The connection ended, or never came about; whatever transaction was open on it is rolled back or committed."""


class WriteRace(Exception):
    """Another transaction has changed what this one read. A retry may succeed.

    Args:
        constraint: name of the unique index that refused a row, if one did.
    """

    def __init__(self, message: str, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint


class PostgresConnections:
    """The connections that the models of one factory share.

    Args:
        url: `postgresql://user:password@host:port/database`.
        size: connections at most.
        statement_cache: prepared statements that a connection keeps; 0 for a pooler in transaction mode that knows
            nothing of them.
    """

    def __init__(self, url: str, *, size: int, statement_cache: int) -> None:
        self._url = url
        self._size = size
        self._statement_cache = statement_cache
        self._pool: Any = None
        # Long readers take their time, and leave the other half to all else.
        self.scan_slots = asyncio.Semaphore(max(1, size // 2))
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

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """Rows of a statement that only reads; once more where the connection was lost under it."""
        try:
            async with self.connection() as connection:
                return await _fetch(connection, sql, arguments)
        except ConnectionLost:
            async with self.connection() as connection:
                return await _fetch(connection, sql, arguments)

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
            WriteRace: another transaction was in the way.
        """
        if self._pool is None:
            raise StorageNotOpen
        pool = self._pool
        try:
            with self._translate_errors():
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
            ConnectionLost, StorageUnavailable, WriteRace: as `connection`.
        """
        with self._translate_errors():
            connection = await asyncpg.connect(
                self._url, timeout=_CONNECT_SECONDS, statement_cache_size=self._statement_cache
            )
            try:
                yield connection
            except BaseException:
                connection.terminate()
                raise
            await connection.close(timeout=_CONNECT_SECONDS)

    async def commit(self, transaction: Any) -> bool:
        """Commit; False where the answer was lost, and the transaction's id has to tell.

        Raises:
            WriteRace: it was rolled back.
        """
        try:
            with self._translate_errors():
                await transaction.commit()
        except StorageUnavailable:
            return False
        return True

    async def roll_back(self, transaction: Any) -> None:
        """Roll back, if the connection still lives; if not, the server does."""
        with suppress(StorageUnavailable), self._translate_errors():
            await transaction.rollback()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from error

    def _translate(self, error: Exception) -> Exception:
        message = f"PostgreSQL at {self.host}: {str(error) or type(error).__name__}."
        if isinstance(error, asyncpg.UniqueViolationError | asyncpg.TransactionRollbackError):
            return WriteRace(str(error), error.constraint_name)
        if isinstance(error, TimeoutError | asyncpg.QueryCanceledError | asyncpg.InsufficientResourcesError):
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
        return f"{where} refuses the connection: {type(error).__name__}"


async def _fetch(connection: Any, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(sql, *arguments)
    return rows


async def _end_transaction(connection: Any) -> None:
    """Nothing is set for longer than a transaction: only one that is still open is worth a round trip."""
    if connection.is_in_transaction():
        await connection.reset()


def _without_secrets(error: Exception) -> Exception | None:
    """The cause to show. A URL that cannot be read stands in the message about it, with the password in it."""
    return None if isinstance(error, ValueError) else error
