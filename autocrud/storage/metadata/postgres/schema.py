"""Creates the tables of a model in PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from autocrud.errors import ConfigurationError, DataCorrupted
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.storage.index_backfill.column_state import signature, stale_row_condition
from autocrud.storage.metadata.postgres.compiler import column_name, fit_name, key_of, quote, words_of
from autocrud.storage.metadata.postgres.history_tables import COMMIT_COLUMNS
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.point_in_time_backfill import begin_states, fill_states
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import (
    DATA_COLUMNS,
    META_COLUMNS,
    TEXT,
    PostgresTables,
    column_definitions,
)
from autocrud.storage.metadata.sql.revisions import REWRITING_KINDS

BUILD_TIMEOUT_S = 86400.0  # seconds, for what is built of all rows
_MARK = "autocrud: "  # begins the comment on each index of ours, which tells how it was made


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """An index of the heads.

    Attributes:
        name: of the index, not quoted.
        table: the table of the heads, quoted.
        target: the columns and the condition on the rows, as in CREATE INDEX.
    """

    name: str
    table: str
    target: str

    def create(self, *, concurrently: bool = False) -> str:
        """Return the statement that makes the index."""
        kind = f"INDEX{' CONCURRENTLY' * concurrently}"
        return f"CREATE {kind} {quote(self.name)} ON {self.table} {self.target}"

    def comment(self, schema: str) -> str:
        """Return the statement that notes on the index how it was made."""
        text = (_MARK + self.create()).replace("'", "''")
        return f"COMMENT ON INDEX {quote(schema)}.{quote(self.name)} IS '{text}'"


async def prepare(
    connection: Any, spec: ModelSpec[Any], tables: PostgresTables, store: SharedStore, records: RecordReader
) -> bool:
    """Create what is missing, then fill the states, each in a transaction; nodes that start together take turns.

    Returns True if the tables come from a rebuild, and have no index columns yet.

    Raises:
        ConfigurationError: records do not fit the model, or the user may not do what has to be done.
        DataCorrupted: tables of the model are lost.
    """
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(tables))
            if created := await _create_tables(connection, tables, store):
                await _create_columns(connection, spec, tables)
            is_rebuilt = not await connection.fetchval("SELECT to_regclass($1)::text", tables.index_states.table)
            await begin_states(connection, tables, store)
            if created:
                for index in index_definitions(spec, tables, finds_stale=False).values():
                    await connection.execute(index.create(), timeout=BUILD_TIMEOUT_S)
                    await connection.execute(index.comment(tables.schema))
            for statement in _history_indexes(spec, tables):
                await connection.execute(statement)
        # In a second one: who writes past the states must have noted it before the commits are read.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(tables))
            await fill_states(connection, spec, tables, records)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(f"PostgreSQL refuses: {error}", argument="postgres_url") from error
    return is_rebuilt


async def _create_tables(connection: Any, tables: PostgresTables, store: SharedStore) -> bool:
    """Create the tables without the columns of index fields. Return False if they exist."""
    if await connection.fetchval("SELECT to_regclass($1)::text", tables.heads):
        return False
    if await connection.fetch(store.tables.stored_models, [tables.model]):
        raise DataCorrupted(
            f"{tables.heads} is lost. Restore it, or drop the schema {tables.schema!r}: the next start rebuilds all of"
            " its tables from the bucket."
        )
    await create_base_tables(connection, tables)
    return True


async def create_base_tables(connection: Any, tables: PostgresTables) -> None:
    """Create the tables of a model, known or not, without index columns."""
    heads = column_definitions({"resource_id": "text", **META_COLUMNS, **DATA_COLUMNS})
    await connection.execute(f"CREATE TABLE {tables.heads} ({heads}, PRIMARY KEY (resource_id))")
    commits = f"{column_definitions(COMMIT_COLUMNS)}, PRIMARY KEY (resource_id, version)"
    await connection.execute(f"CREATE TABLE {tables.history.commits} ({commits})")
    names, local = tables.side_tables, tables.names.local
    blobs = f"file_id {TEXT} PRIMARY KEY, size bigint NOT NULL, key text NOT NULL, created_time text NOT NULL"
    place = "sequence bigint NOT NULL, ordinal integer NOT NULL"
    references = f"resource_id {TEXT}, version bigint, file_id {TEXT}, PRIMARY KEY (resource_id, version, file_id)"
    await connection.execute(f"CREATE TABLE {names.blobs} ({blobs}, {place})")
    await connection.execute(f"CREATE TABLE {names.references} ({references})")
    await connection.execute(f"CREATE INDEX {local('blob_references_by_file')} ON {names.references} (file_id)")


def _history_indexes(spec: ModelSpec[Any], tables: PostgresTables) -> Iterator[str]:
    """Yield the statements that create the missing indexes of the history, beside its primary key."""
    commits, local = tables.history.commits, tables.names.local
    rewrites = f"(resource_id, revision_id, version) WHERE kind IN {REWRITING_KINDS}"
    yield f"CREATE INDEX IF NOT EXISTS {local('commits_rewrites')} ON {commits} {rewrites}"
    if spec.retention is not None:
        # Only a retention searches for old data: without one, the index would be cost alone.
        with_data = "(resource_id, version) WHERE locator IS NOT NULL"
        yield f"CREATE INDEX IF NOT EXISTS {local('commits_held')} ON {commits} {with_data}"


async def _create_columns(connection: Any, spec: ModelSpec[Any], tables: PostgresTables) -> None:
    """Give a new table the columns of the index fields, which are filled as the rows come."""
    states = tables.index_states
    await connection.execute(f"DROP TABLE IF EXISTS {states.table}")
    await connection.execute(states.create)
    for name, kind in tables.index_columns.items():
        collation = ' COLLATE "C"' if kind in ("text", "text[]") else ""
        await connection.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quote(name)} {kind}{collation}")
    if spec.index_fields:
        await connection.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quote(tables.marker)} bigint")
    for field in spec.index_fields:
        await connection.execute(states.begin, field.column, signature(field), None, 0)


async def present_indexes(connection: Any, tables: PostgresTables) -> dict[str, str | None]:
    """The statement that made each index of the heads by its name; None where it is not ours, or was not finished."""
    rows = await connection.fetch(
        "SELECT c.relname, obj_description(c.oid, 'pg_class'), i.indisvalid FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass",
        tables.heads,
    )
    return {
        name: comment.removeprefix(_MARK) if is_valid and comment and comment.startswith(_MARK) else None
        for name, comment, is_valid in rows
    }


def index_definitions(
    spec: ModelSpec[Any], tables: PostgresTables, *, finds_stale: bool = False
) -> dict[str, IndexDefinition]:
    """Return the indexes that the model needs, by name.

    Args:
        finds_stale: include the index of the rows that processes of other schema versions wrote.
    """
    order, live = "(created_time, resource_id)", "WHERE NOT is_deleted"
    found = {f"{tables.heads_name}_all": order, f"{tables.heads_name}_live": f"{order} {live}"}
    for field in spec.index_fields:
        name, column = fit_name(f"{tables.heads_name}_{field.column}"), quote(column_name(field))
        if field.is_list:
            # Of what is deleted, too, for which there is no other one; readers do not pay for what writers put off.
            found[name] = f"USING gin ({column}) WITH (fastupdate = off)"
        elif isinstance(field, DocumentField):
            found[name] = f"USING gin (({words_of(field)}))"
        else:
            found[name] = f"({column}, created_time, resource_id) {live}"
    if finds_stale:
        condition = stale_row_condition(tables.schema_version)
        found[stale_index_name(tables)] = f"(resource_id) WHERE {condition}"
    return {name: IndexDefinition(name, tables.heads, target) for name, target in found.items()}


def stale_index_name(tables: PostgresTables) -> str:
    """Return the name of the index of the rows that processes of other schema versions wrote."""
    return fit_name(f"{tables.heads_name}_{tables.marker}")


def lock_of(tables: PostgresTables) -> int:
    """The number of the lock of who changes the tables."""
    return key_of(tables.heads)
