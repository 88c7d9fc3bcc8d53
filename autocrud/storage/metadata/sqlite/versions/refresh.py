"""Fills the columns and states of resources in SQLite that processes of other schema versions have written."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.sqlite.engine.file import QueryReaders
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.metadata.sqlite.versions.stale_rows import (
    StaleRow,
    find_stale_rows,
    has_stale_index,
    store_stale_rows,
)
from autocrud.storage.point_in_time import read_index_values, states_of

logger = logging.getLogger(__name__)

_ROWS, _RESOURCES = 100, 20  # of one transaction


class SqliteRefresher:
    """Fills stale rows and states. Values are computed before the transaction, so that no writer waits for steps.

    Args:
        run: runs a function in a transaction that writes.
        read: the data that a locator names.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        tables: SqliteTables,
        stored_index: StoredIndex,
        reader: QueryReaders,
        run: Callable[[Callable[[Connection], None]], Awaitable[None]],
        read: Callable[[str], Awaitable[bytes]],
    ) -> None:
        self._spec = spec
        self._tables = tables
        self._stored_index = stored_index
        self._reader = reader
        self._run = run
        self._read = read

    def is_ready(self, db: Connection) -> bool:
        """Return True if stale rows can be found, or cannot be there."""
        version = self._spec.schema.version
        return (
            not self._spec.index_fields
            or has_stale_index(self._tables, version, db)
            or (version == 1 and not self._tables.index_states.has_other_versions(db))
        )

    def has_stale(self, db: Connection) -> bool:
        """Return True if there are stale rows, or they cannot be found yet."""
        if not self._spec.index_fields:
            return False
        version = self._spec.schema.version
        if has_stale_index(self._tables, version, db):
            return bool(find_stale_rows(self._tables, version, 1, db))
        return version > 1 or self._tables.index_states.has_other_versions(db)

    async def refresh(self) -> bool:
        """Fill some rows and states. Return False if none is left."""
        rows, resource_ids = await self._reader.run(self._find)
        if self._spec.temporal and not self._tables.states.has_marker:
            # Before the rows, which a crash leaves to be found again.
            resource_ids = [row.resource_id for row in rows]
        for start in range(0, len(resource_ids), _RESOURCES):
            await self._refresh_states(resource_ids[start : start + _RESOURCES])
        if rows:
            values = [await self._values(row) for row in rows if row.data is None]
            values += await asyncio.to_thread(self._inline_values, [row for row in rows if row.data is not None])
            await self._run(partial(self._store, values))
        return bool(rows or resource_ids)

    def _find(self, db: Connection) -> tuple[list[StaleRow], list[str]]:
        version = self._spec.schema.version
        has_index = self._spec.index_fields and has_stale_index(self._tables, version, db)
        rows = find_stale_rows(self._tables, version, _ROWS, db) if has_index else []
        return rows, self._tables.states.find_stale(db, _ROWS)

    def _inline_values(self, rows: Sequence[StaleRow]) -> list[tuple[StaleRow, tuple[IndexValue, ...]]]:
        return [
            (row, self._stored_index.stored_values(row.resource_id, row.data or b"", row.schema_version))
            for row in rows
        ]

    async def _values(self, row: StaleRow) -> tuple[StaleRow, tuple[IndexValue, ...]]:
        try:
            data = await self._read(row.locator)
        except DataCorrupted as error:  # or the resource has changed, and then the row is found again
            logger.error("%s: %r has no index values: %s", self._spec.name, row.resource_id, error)
            return row, (None,) * len(self._spec.index_fields)
        compute = self._stored_index.stored_values
        return row, await asyncio.to_thread(compute, row.resource_id, data, row.schema_version)

    def _store(self, values: Sequence[tuple[StaleRow, tuple[IndexValue, ...]]], db: Connection) -> None:
        store_stale_rows(self._spec, self._tables, values, db)
        # The backfill of these fields finds the resource, and says so.
        self._tables.begin_backfill(db, self._stored_index.unfit_fields)
        self._stored_index.unfit_fields.clear()

    async def _refresh_states(self, resource_ids: Sequence[str]) -> None:
        states, history = self._tables.states, self._tables.history
        heads = {row[0]: row for row in await self._reader.run(lambda db: states.heads_of(db, resource_ids))}
        commits = await self._reader.run(lambda db: history.all_commits_of(db, list(heads)))
        data = {resource_id: row[3] for resource_id, row in heads.items()}
        stored_index = StoredIndex(self._spec)  # whose conversion errors concern the past, and no column
        values = await read_index_values(self._spec, stored_index, commits, self._read, data, lenient=True)
        new_states = states_of(self._spec, commits, values)

        def store(db: Connection) -> None:
            # A resource that was written meanwhile is found again.
            unchanged = {row[0]: row for row in states.heads_of(db, resource_ids) if row == heads.get(row[0])}
            created = {resource_id: (row[1], row[2]) for resource_id, row in unchanged.items()}
            states.fill(db, created, [state for state in new_states if state.commit.resource_id in unchanged])

        await self._run(store)
