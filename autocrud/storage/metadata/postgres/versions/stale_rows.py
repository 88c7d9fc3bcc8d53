"""Rows in PostgreSQL that processes of other schema versions wrote past the columns of this version."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import stale_row_condition
from autocrud.storage.metadata.postgres.commits.constraint_writer import ConstraintWriter, IndexedRow
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.index_state import columns_of_field, driver_values
from autocrud.storage.metadata.postgres.schema import BUILD_TIMEOUT_S
from autocrud.storage.metadata.postgres.tables import PostgresTables

STALE_ROW = "resource_id, version, created_time, schema_version, head, head_locator"


class StaleRow(NamedTuple):
    """A row whose index columns hold older values, or none.

    Attributes:
        schema_version: schema version of the data.
        data: None if the data must be read from `locator`.
    """

    resource_id: str
    version: int
    created_time: datetime
    schema_version: int
    data: bytes | None
    locator: str


async def find_stale_rows(connection: Any, tables: PostgresTables, limit: int) -> list[StaleRow]:
    """Return some stale rows, by the index of the stale rows."""
    condition = stale_row_condition(tables.schema_version)
    sql = f"SELECT {STALE_ROW} FROM {tables.heads} WHERE {condition} ORDER BY resource_id LIMIT $1"
    return [StaleRow._make(row) for row in await connection.fetch(sql, limit)]


async def restart_newer(connection: Any, spec: ModelSpec[Any], tables: PostgresTables) -> None:
    """Make the rows of newer schema versions stale, and drop their states, so that these are missing."""
    marker, newer = quote(tables.marker), f"schema_version > {tables.schema_version}"
    if spec.index_fields:
        stale = f"UPDATE {tables.heads} SET {marker} = NULL WHERE {newer} AND {marker} IS NOT NULL"
        await connection.execute(stale, timeout=BUILD_TIMEOUT_S)
    if spec.temporal:
        async with connection.transaction():
            await connection.execute(f"DELETE FROM {tables.states.table} WHERE {newer}", timeout=BUILD_TIMEOUT_S)
            await connection.execute(tables.index_states.mark_missing)


async def store_stale_rows(
    connection: Any,
    spec: ModelSpec[Any],
    tables: PostgresTables,
    constraints: ConstraintWriter,
    rows: Sequence[tuple[StaleRow, tuple[IndexValue, ...]]],
) -> None:
    """Set the columns, claims and references of these rows, unless a row was written since it was read.

    The open transaction has the store's lock.
    """
    indexed = [IndexedRow(row.resource_id, row.version, row.created_time, index) for row, index in rows]
    disputed = await constraints.add(connection, indexed, strict=False)
    arguments = []
    for row, index in rows:
        hidden = {position for unique in disputed.get(row.resource_id, ()) for position in unique.positions}
        # Filters find one resource by a unique value.
        values = [None if position in hidden else value for position, value in enumerate(index)]
        arguments.append(_arguments(spec, row, values))
    await connection.executemany(_update(spec, tables), arguments)


def _update(spec: ModelSpec[Any], tables: PostgresTables) -> str:
    columns = {name: kind for field in spec.index_fields for name, kind in columns_of_field(field).items()}
    # A list comes as the text of an array.
    assignments = [
        f"{quote(name)} = ${number}::{'text::' * kind.endswith('[]')}{kind}"
        for number, (name, kind) in enumerate(columns.items(), 4)
    ]
    unchanged = f"version = $2 AND created_time = $3 AND schema_version <> {tables.schema_version}"
    values = ", ".join([*assignments, f"{quote(tables.marker)} = version"])
    return f"UPDATE {tables.heads} SET {values} WHERE resource_id = $1 AND {unchanged}"


def _arguments(spec: ModelSpec[Any], row: StaleRow, index: Sequence[IndexValue]) -> tuple[Any, ...]:
    return (row.resource_id, row.version, row.created_time, *driver_values(spec.index_fields, index))
