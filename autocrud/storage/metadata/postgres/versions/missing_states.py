"""States of commits that processes of other schema versions made. Those write to a table of their own alone."""

from collections.abc import Sequence
from typing import Any

from autocrud.resource import ResourceMeta
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.point_in_time_backfill import rows_of_states
from autocrud.storage.metadata.postgres.schema import BUILD_TIMEOUT_S
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of
from autocrud.storage.point_in_time import read_index_values, states_of

_RESOURCES = 20  # of one transaction


class MissingStates:
    """Finds and fills the states of one model that are missing."""

    def __init__(self, spec: ModelSpec[Any], store: SharedStore, tables: PostgresTables, records: RecordReader) -> None:
        self._spec = spec
        self._store = store
        self._tables = tables
        self._records = records
        self._begun_at: int | None = None
        commits, states, fields = tables.history.commits, tables.states.table, tables.index_states.table
        name = tables.index_states.missing_column
        # `done` is 1 while missing states are filled, so that a crash forgets nothing.
        self._look = f"SELECT passed_by, done FROM {fields} WHERE \"column\" = '{name}' AND (passed_by OR done > 0)"
        self._begin = f"UPDATE {fields} SET passed_by = false, done = 1 WHERE \"column\" = '{name}'"
        self._end = f"UPDATE {fields} SET done = 0 WHERE \"column\" = '{name}'"
        self._find = (
            f"SELECT DISTINCT c.resource_id FROM {commits} c LEFT JOIN {states} s"
            " ON s.resource_id = c.resource_id AND s.version = c.version WHERE s.resource_id IS NULL LIMIT $1"
        )
        self._heads = (
            f"SELECT resource_id, version, created_time, meta, head FROM {tables.heads}"
            " WHERE resource_id = ANY($1::text[]) ORDER BY resource_id"
        )

    async def fill(self, connection: Any) -> bool:
        """Fill the states of some resources. Return False if none is left."""
        row = await connection.fetchrow(self._look)
        if row is None:
            return False
        if row[0] or self._begun_at is None:
            await connection.execute(self._begin)
            self._begun_at = await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        # A commit that was under way at the beginning may have found the mark set, and then set none.
        oldest = await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        missing = await connection.fetch(self._find, _RESOURCES, timeout=BUILD_TIMEOUT_S)
        resource_ids = [resource_id for (resource_id,) in missing]
        if resource_ids:
            await self._fill(connection, resource_ids)
            return True
        if oldest >= self._begun_at:
            await connection.execute(self._end)
            self._begun_at = None
        return False

    async def _fill(self, connection: Any, resource_ids: Sequence[str]) -> None:
        tables = self._tables
        heads = await connection.fetch(self._heads, resource_ids)
        rows = await connection.fetch(tables.history.all_commits_of, [head[0] for head in heads])
        commits = [commit_of_row(row) for row in rows]
        stored_index = StoredIndex(self._spec)  # whose conversion errors concern the past, and no column
        data = {head[0]: head[4] for head in heads}
        values = await read_index_values(self._spec, stored_index, commits, self._records.data, data, lenient=True)
        states = states_of(self._spec, commits, values)
        async with connection.transaction(isolation="read_committed"):
            # From here on no writer is between. A resource that was written meanwhile is found again.
            await connection.execute(self._store.take_lock)
            now = {row[:3] for row in map(tuple, await connection.fetch(self._heads, resource_ids))}
            metas = {head[0]: ResourceMeta.model_validate_json(head[3]) for head in heads if tuple(head)[:3] in now}
            new_rows = rows_of_states(tables, [state for state in states if state.commit.resource_id in metas], metas)
            if new_rows:
                await connection.execute(tables.states.purge, list(metas))
                await connection.execute(tables.states.insert, *columns_of(new_rows))
