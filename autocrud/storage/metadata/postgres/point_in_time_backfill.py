"""Creates the table of the states of a temporal model in PostgreSQL, and fills it from the commits and their data."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from autocrud.resource import ResourceMeta
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables, column_definitions, columns_of
from autocrud.storage.point_in_time import PointInTimeRow, meta_at, read_index_values, states_of

logger = logging.getLogger(__name__)

_RESOURCES = 200  # at a time

# The given columns that the table does not have, or has with another type.
_DIFFERING_COLUMNS = (
    "SELECT name, attname IS NOT NULL FROM unnest($1::text[], $2::text[]) AS wanted (name, kind)"
    " LEFT JOIN pg_attribute ON attrelid = to_regclass($3) AND attname = name AND NOT attisdropped"
    " WHERE atttypid IS DISTINCT FROM kind::regtype"
)
_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass($1) AND NOT indisprimary"


async def begin_states(connection: Any, tables: PostgresTables, store: SharedStore) -> None:
    """Adapt the table of the states to the model, and empty it if its states are stale, so that it is filled again.

    Nodes of other versions go on writing to the table, and mark the states as stale that they do not know. Columns are
    therefore added and never dropped. If the model is not temporal, the table stays, empty.
    """
    states, fields = tables.states, tables.index_states
    exists = bool(await connection.fetchval("SELECT to_regclass($1)::text", states.table))
    if not states.temporal:
        if exists and await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {states.table})"):
            await connection.execute(store.take_lock)
            await _empty(connection, tables)
        return
    await fields.begin_missing_states(connection)
    kinds = {**states.columns, "until": "timestamptz"}
    differing = await connection.fetch(_DIFFERING_COLUMNS, list(kinds), list(kinds.values()), states.table)
    if not differing and await fields.holds_states(connection):
        return
    # A later batch marks the states as stale if its process does not know them.
    await connection.execute(store.take_lock)
    if any(is_there for _, is_there in differing):  # as another type: its values could not be written
        await connection.execute(f"DROP TABLE {states.table}")
        exists = False
    if exists:
        for name, _ in differing:
            column = column_definitions({name: kinds[name]}, nullable=True)
            await connection.execute(f"ALTER TABLE {states.table} ADD COLUMN {column}")
        await _empty(connection, tables)
    else:
        columns = ", ".join(
            column_definitions({name: kind}, nullable=name in tables.index_columns) for name, kind in kinds.items()
        )
        await connection.execute(f"CREATE TABLE {states.table} ({columns}, PRIMARY KEY (resource_id, version))")
    await fields.begin_states(connection)


async def _empty(connection: Any, tables: PostgresTables) -> None:
    await connection.execute(f"TRUNCATE {tables.states.table}")
    for (name,) in await connection.fetch(_INDEXES, tables.states.table):
        await connection.execute(f"DROP INDEX {name}")


async def fill_states(connection: Any, spec: ModelSpec[Any], tables: PostgresTables, records: RecordReader) -> None:
    """Fill the table, some resources at a time, and create its indexes, which say that it is filled.

    Raises:
        ConfigurationError: stored data does not fit a column.
    """
    if not spec.temporal:
        return
    missing_indexes = [
        sql
        for name, sql in tables.states.indexes().items()
        if not await connection.fetchval("SELECT to_regclass($1)::text", name)
    ]
    if not missing_indexes:
        return
    # Who writes waits: he needs the states before his own.
    await connection.execute(f"LOCK TABLE {tables.states.table} IN ACCESS EXCLUSIVE MODE")
    after: str | None = ""
    done = 0
    stored_index = StoredIndex(spec)
    while after is not None:
        after, resources = await _fill_resources(connection, spec, tables, stored_index, records, after)
        done += resources
        if resources:
            logger.info("%s: filled the states of %d resources", spec.name, done)
    stored_index.report()
    for sql in missing_indexes:
        await connection.execute(sql)


async def _fill_resources(
    connection: Any,
    spec: ModelSpec[Any],
    tables: PostgresTables,
    stored_index: StoredIndex,
    records: RecordReader,
    after: str,
) -> tuple[str | None, int]:
    """Fill some resources; the id to go on behind, None at the end, and how many they were."""
    states = tables.states
    rows = await connection.fetch(
        f"SELECT resource_id, meta, head FROM {tables.heads} h WHERE resource_id > $1"
        f" AND NOT EXISTS (SELECT 1 FROM {states.table} s WHERE s.resource_id = h.resource_id AND s.version = 1)"
        f" ORDER BY resource_id LIMIT {_RESOURCES}",
        after,
    )
    if not rows:
        return None, 0
    metas = {resource_id: ResourceMeta.model_validate_json(meta) for resource_id, meta, _ in rows}
    found = await connection.fetch(tables.history.all_commits_of, list(metas))
    commits = [commit_of_row(row) for row in found]
    data = {resource_id: data for resource_id, _, data in rows}
    values = await read_index_values(spec, stored_index, commits, records.data, data)
    state_rows = rows_of_states(tables, states_of(spec, commits, values), metas)
    await connection.execute(states.purge, list(metas))
    await connection.execute(states.insert, *columns_of(state_rows))
    return rows[-1][0], len(rows)


def rows_of_states(
    tables: PostgresTables, states: Iterable[PointInTimeRow], metas: Mapping[str, ResourceMeta]
) -> list[tuple[Any, ...]]:
    """Return the rows of states.

    Args:
        metas: the metadata of each resource at any time.
    """
    return [
        tables.states.row(
            meta_at(state.commit, metas[state.commit.resource_id]), state.until, tables.index_row(state.index)
        )
        for state in states
    ]
