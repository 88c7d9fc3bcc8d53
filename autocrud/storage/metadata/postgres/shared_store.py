"""SharedStore: connections, lock and tables that all models of one PostgreSQL store share."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from autocrud.errors import StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.postgres.commits.store_tables import StoreTables
from autocrud.storage.metadata.postgres.compiler import key_of
from autocrud.storage.metadata.postgres.connection import PostgresConnections
from autocrud.storage.metadata.postgres.tables import PostgresTables

# A frozen node loses the lock after this time. The others wait a little longer for it.
_MOVE_TIMEOUT_MS = 30000
_IDLE_TIMEOUT_MS, _LOCK_TIMEOUT_MS, _STORE_LOCK_TIMEOUT_MS = 5000, 5000, 8000


class _UnknownModel(BaseModel):
    """Stands for a model that this process does not know. Its tables have no index columns."""


class SharedStore:
    """Parts of one store that its models share.

    Args:
        inline_limit: bytes; larger data is read from the records.

    Attributes:
        models: statements on the tables of each model, by folder, registered or not.
    """

    def __init__(self, pool: PostgresConnections, schema: str, inline_limit: int) -> None:
        self.pool = pool
        self.schema = schema
        self.inline_limit = inline_limit
        self.tables = StoreTables(schema)
        self.models: dict[str, PostgresTables] = {}
        # All writers take this lock first. So no decision is ever made twice, and no row needs a lock.
        self.take_lock = f"SELECT pg_advisory_xact_lock({self.tables.lock})"
        # Processes take turns to move batches. A frozen one loses its turn after some time.
        move_lock = key_of(f"store {schema} move")
        patience = f"SET LOCAL idle_in_transaction_session_timeout = {_MOVE_TIMEOUT_MS}"
        self.take_move_lock = (
            f"{patience}; SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}; SELECT pg_advisory_xact_lock({move_lock})"
        )
        self.limit_move = patience
        self.try_move_lock = f"SELECT pg_try_advisory_xact_lock({move_lock})"
        self._begin = (
            "BEGIN ISOLATION LEVEL READ COMMITTED;"
            f" SET LOCAL idle_in_transaction_session_timeout = {_IDLE_TIMEOUT_MS};"
            f" SET LOCAL lock_timeout = {_STORE_LOCK_TIMEOUT_MS}; {self.take_lock};"
            f" SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"
        )

    async def begin(self, connection: Any) -> None:
        """Begin a transaction with the store's lock, in one round trip.

        A transaction of a frozen process ends after some seconds, and another process goes on.
        """
        await connection.execute(self._begin)

    async def roll_back(self, connection: Any) -> None:
        """Roll back. If the connection is lost, the server does it."""
        with suppress(StorageUnavailable), self.pool.translate_errors():
            await connection.execute("ROLLBACK")

    def tables_of(self, spec: ModelSpec[Any]) -> PostgresTables:
        """Return the statements on the tables of a model."""
        return PostgresTables(spec, self.schema, self.inline_limit)

    async def learn_models(self, connection: Any, models: Iterable[str]) -> None:
        """Prepare the use of the tables of models, if these models are not known and have tables."""
        unknown = [model for model in models if model not in self.models]
        if unknown:
            stored = await connection.fetch(self.tables.stored_models, unknown)
            self.models |= {folder: self.unknown_tables(folder) for (folder,) in stored}

    def unknown_tables(self, folder: str) -> PostgresTables:
        """Return the statements on the tables of a model that this process does not know."""
        spec = ModelSpec(_UnknownModel, name="unknown")
        spec.folder = folder
        return self.tables_of(spec)
