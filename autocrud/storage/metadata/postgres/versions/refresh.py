"""Fills the columns and states of resources in PostgreSQL that processes of other schema versions have written."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.column_state import signature
from autocrud.storage.metadata.postgres.commits.constraint_writer import ConstraintWriter
from autocrud.storage.metadata.postgres.compiler import key_of
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.schema import stale_index_name
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.postgres.versions.missing_states import MissingStates
from autocrud.storage.metadata.postgres.versions.stale_rows import StaleRow, find_stale_rows, store_stale_rows

logger = logging.getLogger(__name__)

_ROWS = 100  # of one transaction


class PostgresRefresher:
    """Fills stale rows and missing states. The store is locked only while their columns are set.

    Attributes:
        needs_index: other versions have columns, and the index of the stale rows does not exist.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        store: SharedStore,
        tables: PostgresTables,
        records: RecordReader,
        stored_index: StoredIndex,
    ) -> None:
        self._spec = spec
        self._store = store
        self._pool = store.pool
        self._constraints = ConstraintWriter(spec, store, tables)
        self._tables = tables
        self._records = records
        self._stored_index = stored_index
        self._missing = MissingStates(spec, store, tables, records)
        self.needs_index = False

    async def has_stale(self) -> bool:
        """Return True if there are stale rows, or they cannot be found yet."""
        async with self._pool.connection() as connection:
            if not await self._has_index(connection):
                return self.needs_index
            return bool(await find_stale_rows(connection, self._tables, 1))

    async def refresh(self) -> bool:
        """Fill some rows and states. Return False if none is left, or another node fills them."""
        async with self._pool.connection() as connection:
            found_rows = await self._has_index(connection) and await self._refresh_rows(connection)
            found_states = self._spec.temporal and await self._missing.fill(connection)
        return found_rows or found_states

    async def _has_index(self, connection: Any) -> bool:
        if not self._spec.index_fields:
            return False
        has_index, has_others = await connection.fetchrow(
            "SELECT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND indisvalid),"
            f" {self._tables.index_states.has_other_versions}",
            f'{self._tables.heads.partition(".")[0]}."{stale_index_name(self._tables)}"',
        )
        has_others = has_others or bool(self._spec.upgrader.newer_versions)
        self.needs_index = not has_index and (has_others or self._tables.schema_version > 1)
        return bool(has_index)

    async def _refresh_rows(self, connection: Any) -> bool:
        async with connection.transaction(isolation="read_committed"):
            lock = key_of(f"{self._tables.heads}:refresh:{self._tables.schema_version}")
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock):
                return False
            rows = await find_stale_rows(connection, self._tables, _ROWS)
            if not rows:
                return False
            values = [await self._values(row) for row in rows if row.data is None]
            # Steps may be slow, and the event loop must not wait for them.
            values += await asyncio.to_thread(self._inline_values, [row for row in rows if row.data is not None])
            values.sort(key=lambda pair: pair[0].resource_id)
            # From here on no writer is between. What was written since the rows were read has other versions.
            await connection.execute(self._store.take_lock)
            await store_stale_rows(connection, self._spec, self._tables, self._constraints, values)
            await self._begin_unfit_fields(connection)
        return True

    async def _begin_unfit_fields(self, connection: Any) -> None:
        """Let the backfill of fields with a conversion error find the resource, and say so."""
        for field in self._stored_index.unfit_fields:
            total = await connection.fetchval(f"SELECT count(*) FROM {self._tables.heads}")
            await connection.execute(self._tables.index_states.begin, field.column, signature(field), "", total)
        self._stored_index.unfit_fields.clear()

    def _inline_values(self, rows: Sequence[StaleRow]) -> list[tuple[StaleRow, tuple[IndexValue, ...]]]:
        return [
            (row, self._stored_index.stored_values(row.resource_id, row.data or b"", row.schema_version))
            for row in rows
        ]

    async def _values(self, row: StaleRow) -> tuple[StaleRow, tuple[IndexValue, ...]]:
        try:
            data = await self._records.data(row.locator)
        except DataCorrupted as error:  # or the resource has changed, and then the row is found again
            logger.error("%s: %r has no index values: %s", self._spec.name, row.resource_id, error)
            return row, (None,) * len(self._spec.index_fields)
        compute = self._stored_index.stored_values
        return row, await asyncio.to_thread(compute, row.resource_id, data, row.schema_version)
