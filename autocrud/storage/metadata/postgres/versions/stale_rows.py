"""Rows in PostgreSQL that processes of other schema versions wrote past the columns of this version."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import stale_row_condition
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.index_state import columns_of_field, driver_values
from autocrud.storage.metadata.postgres.schema import BUILD_TIMEOUT_S, index_definitions
from autocrud.storage.metadata.postgres.tables import PostgresTables

logger = logging.getLogger(__name__)

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
    rows: Sequence[tuple[StaleRow, tuple[IndexValue, ...]]],
) -> None:
    """Set the columns of these rows in the open transaction, unless a row was written since it was read."""
    try:
        async with connection.transaction():
            # In the order of the ids, in which writers lock too.
            await connection.executemany(_update(spec, tables), [_arguments(spec, *row) for row in rows])
    except asyncpg.UniqueViolationError:
        for row, index in rows:
            await _store_alone(connection, spec, tables, row, list(index))


async def _store_alone(
    connection: Any, spec: ModelSpec[Any], tables: PostgresTables, row: StaleRow, index: list[IndexValue]
) -> None:
    while True:
        try:
            async with connection.transaction():
                await connection.execute(_update(spec, tables), *_arguments(spec, row, index))
            return
        except asyncpg.UniqueViolationError as error:
            definition = index_definitions(spec, tables).get(error.constraint_name or "")
            if definition is None or definition.unique is None:
                raise
            # Each version has a rule of its own for unique values, and holds its own writes to it alone.
            logger.warning(
                "%s: %r has unique values that another resource holds, and filters do not find it by them: %s",
                spec.name, row.resource_id, ", ".join(definition.unique.names),
            )  # fmt: skip
            for position in definition.unique.positions:
                index[position] = None


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
