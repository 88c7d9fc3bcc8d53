"""Backfill of claims and references: of resources that were written before the model had a rule.

The progress stands with that of the index columns. So a process that does not know the rule marks it as stale.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.column_state import (
    claims_column,
    claims_signature,
    references_column,
    references_signature,
)
from autocrud.storage.index_backfill.engine import NotUnique
from autocrud.storage.metadata.postgres.commits.constraint_writer import ConstraintWriter, IndexedRow
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.postgres.versions.stale_rows import STALE_ROW, StaleRow

logger = logging.getLogger(__name__)

_ROWS = 200  # of one transaction


class ConstraintBackfill:
    """Fills the claims and references of one model."""

    def __init__(self, spec: ModelSpec[Any], store: SharedStore, tables: PostgresTables, records: RecordReader) -> None:
        self._spec = spec
        self._store = store
        self._tables = tables
        self._records = records
        self._writer = ConstraintWriter(spec, store, tables)
        self._filled_targets: dict[int, str] = {}
        self._lock = asyncio.Lock()

    @property
    def is_complete(self) -> bool:
        """Return True if the references of the model are filled as it has them now."""
        return self._spec.reference_targets == self._filled_targets

    async def fill(self) -> None:
        """Fill what is not filled, before the first write that depends on it.

        Raises:
            ConfigurationError: stored resources share values that are unique.
        """
        async with self._lock:
            targets = dict(self._spec.reference_targets)
            rules: dict[str, str] = {}
            if self._spec.unique_constraints:
                rules[claims_column(self._spec)] = claims_signature(self._spec)
            if targets:
                rules[references_column(self._spec)] = references_signature(self._spec)
            for text in rules.values():
                self._tables.index_states.use_rule(text)
            for column, text in rules.items():
                await self._fill_rule(column, text)
            self._filled_targets = targets

    async def _fill_rule(self, column: str, text: str) -> None:
        states = self._tables.index_states
        async with self._store.pool.connection() as connection:
            state = (await states.states(connection)).get(column)
            if state is None or state.signature != text or state.stale:
                total = await connection.fetchval(f"SELECT count(*) FROM {self._tables.heads}")
                after = "" if total else None
                await connection.execute(states.begin, column, text, after, total)
            else:
                after = state.after
            try:
                while after is not None:
                    after = await self._fill_slice(connection, column, after)
            except NotUnique as error:
                raise error.unique.duplicates_error(self._spec.type_name) from error

    async def _fill_slice(self, connection: Any, column: str, after: str) -> str | None:
        """Fill some rows, and return the last id; None at the end."""
        sql = f"SELECT {STALE_ROW} FROM {self._tables.heads} WHERE resource_id > $1 ORDER BY resource_id LIMIT $2"
        rows = [StaleRow._make(row) for row in await connection.fetch(sql, after, _ROWS)]
        indexed = await self._indexed(rows)
        position = rows[-1].resource_id if len(rows) == _ROWS else None
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(self._store.take_lock)
            await self._writer.add(connection, indexed, strict=True)
            await connection.execute(self._tables.index_states.advance, position, len(rows), [column])
        return position

    async def _indexed(self, rows: Sequence[StaleRow]) -> list[IndexedRow]:
        large: dict[str, bytes] = {}
        for row in rows:
            if row.data is None:
                try:
                    large[row.resource_id] = await self._records.data(row.locator)
                except DataCorrupted as error:  # or it has changed meanwhile, and has its claims
                    logger.error("%s: %r has no claims: %s", self._spec.name, row.resource_id, error)
        stored_index = StoredIndex(self._spec)

        def compute() -> list[IndexedRow]:
            data = {row.resource_id: row.data for row in rows if row.data is not None} | large
            return [
                IndexedRow(
                    row.resource_id, row.version, row.created_time,
                    stored_index.stored_values(row.resource_id, data[row.resource_id], row.schema_version),
                )
                for row in rows
                if row.resource_id in data
            ]  # fmt: skip

        return await asyncio.to_thread(compute)
