"""Rows in SQLite that processes of other schema versions wrote past the columns of this version."""

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import stale_row_condition
from autocrud.storage.metadata.sqlite.compiler import quote, stored_value
from autocrud.storage.metadata.sqlite.engine.claim_tables import Facts, add_facts
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.metadata.sqlite.versions.disputes import settle_dispute
from autocrud.storage.ports.claims import claims_of, references_of


class StaleRow(NamedTuple):
    """A row whose index columns hold older values, or none.

    Attributes:
        schema_version: schema version of the data.
        data: None if the data must be read from `locator`.
    """

    row: int
    resource_id: str
    version: int
    created_time: str
    schema_version: int
    data: bytes | None
    locator: str


def stale_index(tables: SqliteTables, version: int) -> tuple[str, str]:
    """Return name and statement of the index of the stale rows, which is empty most of the time."""
    name = f"{tables.heads}__{tables.marker}"
    return name, f"CREATE INDEX {name} ON {tables.heads} (resource_id) WHERE {stale_row_condition(version)}"


def has_stale_index(tables: SqliteTables, version: int, db: Connection) -> bool:
    """Return True if the index of the stale rows exists."""
    name, _ = stale_index(tables, version)
    return db.execute("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).fetchone() is not None


def find_stale_rows(tables: SqliteTables, version: int, limit: int, db: Connection) -> list[StaleRow]:
    """Return some stale rows. The index of the stale rows must exist."""
    rows = db.execute(
        "SELECT row, resource_id, version, created_time, schema_version, head, head_locator"
        f" FROM {tables.heads} INDEXED BY {stale_index(tables, version)[0]}"
        f" WHERE {stale_row_condition(version)} ORDER BY resource_id LIMIT ?",
        (limit,),
    )
    return [StaleRow._make(row) for row in rows]


def restart_newer(tables: SqliteTables, version: int, db: Connection) -> None:
    """Make the rows and states of newer schema versions stale."""
    changed = f"SET {tables.marker} = NULL WHERE schema_version > {version} AND {tables.marker} IS NOT NULL"
    if tables.index_columns:
        db.execute(f"UPDATE {tables.heads} {changed}")
    if tables.states.has_marker and tables.states.exists(db):
        db.execute(f"UPDATE {tables.states.table} {changed}")


def store_stale_rows(
    spec: ModelSpec[Any], tables: SqliteTables, rows: Sequence[tuple[StaleRow, tuple[IndexValue, ...]]], db: Connection
) -> None:
    """Set the columns of these rows, unless a row was written since it was read."""
    for row, index in rows:
        if not _store(spec, tables, row, index, db):
            continue
        key = tables.folder, row.resource_id
        (is_deleted,) = db.execute(f"SELECT is_deleted FROM {tables.heads} WHERE row = ?", (row.row,)).fetchone()
        claims = claims_of(spec.unique_constraints, index)
        references = references_of(spec.index_fields, spec.reference_targets, index)
        for claim, holder in add_facts(db, key, Facts(claims, references, not is_deleted)):
            settle_dispute(db, tables, row.resource_id, claim, holder)


def _store(
    spec: ModelSpec[Any], tables: SqliteTables, row: StaleRow, values: Sequence[IndexValue], db: Connection
) -> bool:
    """Set the columns of a row. Return False if the row was written since it was read."""
    columns = [quote(name) for name in (*tables.index_columns, tables.marker)]
    assignments = ", ".join(f"{column} = ?" for column in columns)
    unchanged = f"row = ? AND version = ? AND created_time = ? AND schema_version <> {spec.schema.version}"
    place = (row.row, row.version, row.created_time)
    changed = db.execute(
        f"UPDATE {tables.heads} SET {assignments} WHERE {unchanged}",
        (*map(stored_value, values), row.version, *place),
    ).rowcount
    return bool(changed)
