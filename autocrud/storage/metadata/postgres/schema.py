"""Creates the tables of a model in PostgreSQL, or brings those of an earlier layout up to this one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.schema.versions.column_names import versioned
from autocrud.storage.index_backfill.column_state import signature, stale_row_condition
from autocrud.storage.metadata.postgres.compiler import column_name, fit_name, quote, words_of
from autocrud.storage.metadata.postgres.history_tables import COMMIT_COLUMNS
from autocrud.storage.metadata.postgres.point_in_time_backfill import begin_states, fill_states
from autocrud.storage.metadata.postgres.rebuild import rebuild
from autocrud.storage.metadata.postgres.record_store import PostgresRecords
from autocrud.storage.metadata.postgres.tables import (
    DATA_COLUMNS,
    META_COLUMNS,
    TEXT,
    PostgresTables,
    column_definitions,
)
from autocrud.storage.metadata.postgres.versions.state_tables import state_tables
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
        unique: the set that the index keeps unique, if any.
    """

    name: str
    table: str
    target: str
    unique: UniqueConstraint | None

    def create(self, *, concurrently: bool = False) -> str:
        """Return the statement that makes the index."""
        kind = f"{'UNIQUE ' * (self.unique is not None)}INDEX{' CONCURRENTLY' * concurrently}"
        return f"CREATE {kind} {quote(self.name)} ON {self.table} {self.target}"

    def comment(self, schema: str) -> str:
        """Return the statement that notes on the index how it was made."""
        text = (_MARK + self.create()).replace("'", "''")
        return f"COMMENT ON INDEX {quote(schema)}.{quote(self.name)} IS '{text}'"


async def prepare(connection: Any, spec: ModelSpec[Any], tables: PostgresTables, records: PostgresRecords) -> None:
    """Create what is missing, then fill the states, each in a transaction; nodes that start together take turns.

    Tables that are not there are rebuilt from the records (invariant 6).

    Raises:
        ConfigurationError: records do not fit the model, or the user may not do what has to be done.
    """
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(tables))
            await _create_schema(connection, tables)
            created = await _create_tables(connection, tables)
            if created:
                await _create_columns(connection, spec, tables)
            await begin_states(connection, tables)
            if created:
                await rebuild(connection, spec, tables, records)
                await _create_indexes(connection, spec, tables)
            for statement in _history_indexes(spec, tables):
                await connection.execute(statement)
        # In a second one: who writes past the states must have noted it before the commits are read.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(tables))
            await fill_states(connection, spec, tables, records)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(f"PostgreSQL refuses: {error}", argument="postgres_url") from error


async def _create_schema(connection: Any, tables: PostgresTables) -> None:
    # Asked first: IF NOT EXISTS needs the right to create one even where there is one.
    if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", tables.schema):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", key_of(tables.schema))
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(tables.schema)}")


async def _create_tables(connection: Any, tables: PostgresTables) -> bool:
    """Create the tables without the columns of index fields; says whether there were none."""
    history, side_tables = tables.history, tables.side_tables
    if await connection.fetchval("SELECT to_regclass($1)::text", tables.heads):
        await _upgrade(connection, tables)
        return False
    heads = column_definitions({"resource_id": "text", **META_COLUMNS, **DATA_COLUMNS})
    await connection.execute(f"CREATE TABLE {tables.heads} ({heads}, PRIMARY KEY (resource_id))")
    states = await state_tables(connection, tables)
    await connection.execute(f"DROP TABLE IF EXISTS {', '.join([history.commits, history.erasures, *states])}")
    names = (side_tables.blobs, side_tables.references, side_tables.keys, side_tables.on_delete_tasks.table)
    await connection.execute(f"DROP TABLE IF EXISTS {', '.join(names)}")
    commits = f"{column_definitions(COMMIT_COLUMNS)}, PRIMARY KEY (resource_id, version)"
    erasures = "record text PRIMARY KEY, step integer NOT NULL, deferred boolean NOT NULL"
    await connection.execute(f"CREATE TABLE {history.commits} ({commits})")
    await connection.execute(f"CREATE TABLE {history.erasures} ({erasures})")
    for statement in _side_tables(tables):
        await connection.execute(statement)
    return True


async def _upgrade(connection: Any, tables: PostgresTables) -> None:
    """Add what tables of the first layout lack: there were neither drafts nor blobs, and each revision was the last."""
    history = tables.history
    for statement in _side_tables(tables):
        await connection.execute(statement)
    columns = "SELECT 1 FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'total_revision_count'"
    if await connection.fetchval(columns, history.commits):
        return
    count = "split_part(revision_id, ':', 2)::bigint"
    for statement in (
        f"ALTER TABLE {history.commits} ADD COLUMN total_revision_count bigint",
        f"UPDATE {history.commits} SET total_revision_count = {count}",
        f"ALTER TABLE {history.commits} ALTER COLUMN total_revision_count SET NOT NULL",
        f"ALTER TABLE {history.erasures} ADD COLUMN step integer NOT NULL DEFAULT 3",
        f"ALTER TABLE {history.erasures} ADD COLUMN deferred boolean NOT NULL DEFAULT false",
    ):
        await connection.execute(statement)


def _side_tables(tables: PostgresTables) -> Iterator[str]:
    """Yield the statements that create the missing side tables with their indexes."""
    names, local = tables.side_tables, tables.names.local
    blobs = f"file_id {TEXT} PRIMARY KEY, size bigint NOT NULL, key text NOT NULL, created_time text NOT NULL"
    references = f"resource_id {TEXT}, version bigint, file_id {TEXT}, PRIMARY KEY (resource_id, version, file_id)"
    keys = f"key {TEXT} PRIMARY KEY, fingerprint text NOT NULL, expires text NOT NULL, resource_id {TEXT} NOT NULL"
    tasks = f"resource_id {TEXT}, time {TEXT}, by text, PRIMARY KEY (resource_id, time)"
    yield f"CREATE TABLE IF NOT EXISTS {names.blobs} ({blobs}, record text NOT NULL)"
    yield f"CREATE TABLE IF NOT EXISTS {names.references} ({references})"
    yield f"CREATE INDEX IF NOT EXISTS {local('blob_references_by_file')} ON {names.references} (file_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.keys} ({keys})"
    yield f"CREATE INDEX IF NOT EXISTS {local('keys_by_resource')} ON {names.keys} (resource_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.on_delete_tasks.table} ({tasks})"


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


async def _create_indexes(connection: Any, spec: ModelSpec[Any], tables: PostgresTables) -> None:
    finds_stale = bool(spec.index_fields) and tables.schema_version > 1
    for index in index_definitions(spec, tables, finds_stale=finds_stale).values():
        try:
            await connection.execute(index.create(), timeout=BUILD_TIMEOUT_S)
        except asyncpg.UniqueViolationError as error:
            if index.unique is None:
                raise
            raise index.unique.duplicates_error(spec.type_name) from error
        await connection.execute(index.comment(tables.schema))


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
    found: dict[str, tuple[str, UniqueConstraint | None]] = {
        f"{tables.heads_name}_all": (order, None),
        f"{tables.heads_name}_live": (f"{order} {live}", None),
    }
    for field in spec.index_fields:
        name, column = fit_name(f"{tables.heads_name}_{field.column}"), quote(column_name(field))
        if field.is_list:
            # Of what is deleted, too, for which there is no other one; readers do not pay for what writers put off.
            found[name] = (f"USING gin ({column}) WITH (fastupdate = off)", None)
        elif isinstance(field, DocumentField):
            found[name] = (f"USING gin (({words_of(field)}))", None)
        else:
            found[name] = (f"({column}, created_time, resource_id) {live}", None)
    for unique in spec.unique_constraints:
        # That of one field serves its filters too, and stands in place of its other one.
        first = unique.fields[0]
        set_name = f"{versioned('un', first.schema_version)}_{unique.name}"
        name = f"{tables.heads_name}_{first.column if len(unique.fields) == 1 else set_name}"
        columns = ", ".join(quote(column_name(field)) for field in unique.fields)
        found[fit_name(name)] = (f"({columns}) {live}", unique)
    if finds_stale:
        condition = stale_row_condition(tables.schema_version)
        found[stale_index_name(tables)] = (f"(resource_id) WHERE {condition}", None)
    return {name: IndexDefinition(name, tables.heads, target, unique) for name, (target, unique) in found.items()}


def stale_index_name(tables: PostgresTables) -> str:
    """Return the name of the index of the rows that processes of other schema versions wrote."""
    return fit_name(f"{tables.heads_name}_{tables.marker}")


def lock_of(tables: PostgresTables) -> int:
    """The number of the lock of who changes the tables."""
    return key_of(tables.heads)


def key_of(name: str) -> int:
    """The number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"autocrud:{name}".encode()).digest()[:8], "big", signed=True)
