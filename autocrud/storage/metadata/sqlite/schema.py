"""Creates the tables of one model in SQLite, drops the tables of an earlier layout, and defines the heads' indexes."""

from collections.abc import Iterator, Mapping
from sqlite3 import Connection
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.schema.versions.column_names import versioned
from autocrud.storage.metadata.sql.revisions import REWRITING_KINDS
from autocrud.storage.metadata.sqlite.compiler import quote
from autocrud.storage.metadata.sqlite.history_tables import COMMIT_COLUMNS
from autocrud.storage.metadata.sqlite.tables import DATA_COLUMNS, META_COLUMNS, SqliteTables

_LAYOUT = 5  # of the tables; counted up with each change of them


def create_tables(spec: ModelSpec[Any], tables: SqliteTables, db: Connection) -> None:
    """Create the missing tables, without the columns and indexes of index fields.

    Tables of an earlier layout are dropped first, because the log can rebuild them.
    """
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    if layout != _LAYOUT:
        for table in _table_names(tables):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        db.execute(f"PRAGMA user_version = {_LAYOUT}")
    for statement in (*_head_tables(tables), *_history_tables(spec, tables), *_side_tables(tables)):
        db.execute(statement)
    tables.states.drop_stale(db, holds=tables.index_states.holds_states(db))


def index_definitions(spec: ModelSpec[Any], tables: SqliteTables) -> dict[str, str]:
    """Return the statements that make the indexes of the heads, by index name."""
    heads = tables.heads
    order, live = "(created_time, resource_id)", "WHERE is_deleted = 0"
    definitions = {
        f"{heads}_all": f"CREATE INDEX {heads}_all ON {heads} {order}",
        f"{heads}_live": f"CREATE INDEX {heads}_live ON {heads} {order} {live}",
    }
    for field in spec.index_fields:
        if field.is_list or isinstance(field, DocumentField):
            continue  # has a table of its items, or of its words
        name, column = f"{heads}_{field.column}", quote(field.column)
        definitions[name] = f"CREATE INDEX {quote(name)} ON {heads} ({column}, created_time, resource_id) {live}"
    for unique in spec.unique_constraints:
        # The index of a set of one field serves filters too, and replaces the field's other index.
        name, columns = _unique_name(tables, unique), ", ".join(quote(field.column) for field in unique.fields)
        definitions[name] = f"CREATE UNIQUE INDEX {quote(name)} ON {heads} ({columns}) {live}"
    return definitions


def _unique_name(tables: SqliteTables, unique: UniqueConstraint) -> str:
    first = unique.fields[0]
    if len(unique.fields) == 1:
        return f"{tables.heads}_{first.column}"
    return f"{tables.heads}_{versioned('un', first.schema_version)}_{unique.name}"


def _table_names(tables: SqliteTables) -> Iterator[str]:
    history, side_tables = tables.history, tables.side_tables
    yield from (tables.heads, tables.log, history.commits, history.erasures)
    yield from (side_tables.blobs, side_tables.references, side_tables.keys, side_tables.on_delete_tasks)
    yield from (tables.index_states.table, tables.states.table)


def _head_tables(tables: SqliteTables) -> Iterator[str]:
    # The numbers of rows never change, because the tables of items and words refer to them.
    heads = _column_definitions({"row": "INTEGER PRIMARY KEY", "resource_id": "TEXT UNIQUE NOT NULL"})
    heads += ", " + _column_definitions(META_COLUMNS | DATA_COLUMNS)
    log = "one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, nonce TEXT NOT NULL"
    yield f"CREATE TABLE IF NOT EXISTS {tables.heads} ({heads})"
    yield f"CREATE TABLE IF NOT EXISTS {tables.log} ({log})"
    yield f"INSERT OR IGNORE INTO {tables.log} VALUES (1, 0, '')"


def _history_tables(spec: ModelSpec[Any], tables: SqliteTables) -> Iterator[str]:
    """Yield the statements for the history, with the index of the few rows that the look-up of a revision needs."""
    commits, erasures = tables.history.commits, tables.history.erasures
    key = "PRIMARY KEY (resource_id, version)"
    columns = "place TEXT PRIMARY KEY NOT NULL, step INTEGER NOT NULL, purged INTEGER NOT NULL, deferred INTEGER"
    rewrites = f"CREATE INDEX IF NOT EXISTS {commits}_rewrites"
    with_data = f"CREATE INDEX IF NOT EXISTS {commits}_held ON {commits} (resource_id, version)"
    yield f"CREATE TABLE IF NOT EXISTS {commits} ({_column_definitions(COMMIT_COLUMNS)}, {key}) WITHOUT ROWID"
    yield f"CREATE TABLE IF NOT EXISTS {erasures} ({columns}) WITHOUT ROWID"
    yield f"{rewrites} ON {commits} (resource_id, revision_id, version) WHERE kind IN {REWRITING_KINDS}"
    # Only a retention searches for old data: without one, the index would be cost alone.
    retains = spec.retention is not None
    yield f"{with_data} WHERE locator IS NOT NULL" if retains else f"DROP INDEX IF EXISTS {commits}_held"


def _side_tables(tables: SqliteTables) -> Iterator[str]:
    names = tables.side_tables
    blobs = "file_id TEXT PRIMARY KEY NOT NULL, size INTEGER, key TEXT NOT NULL, created_time TEXT, record TEXT"
    references = "resource_id TEXT NOT NULL, version INTEGER NOT NULL, file_id TEXT NOT NULL"
    keys = "key TEXT PRIMARY KEY NOT NULL, fingerprint TEXT NOT NULL, expires TEXT, resource_id TEXT NOT NULL"
    primary = "PRIMARY KEY (resource_id, version, file_id)"
    tasks = "resource_id TEXT NOT NULL, time TEXT NOT NULL, by TEXT, PRIMARY KEY (resource_id, time)"
    yield f"CREATE TABLE IF NOT EXISTS {names.blobs} ({blobs}) WITHOUT ROWID"
    yield f"CREATE TABLE IF NOT EXISTS {names.references} ({references}, {primary}) WITHOUT ROWID"
    yield f"CREATE INDEX IF NOT EXISTS {names.references}_by_file ON {names.references} (file_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.keys} ({keys}) WITHOUT ROWID"
    yield f"CREATE INDEX IF NOT EXISTS {names.keys}_by_resource ON {names.keys} (resource_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.on_delete_tasks} ({tasks}) WITHOUT ROWID"


def _column_definitions(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
