"""Creates the tables of one model in SQLite, and defines the heads' indexes."""

from collections.abc import Iterator, Mapping
from sqlite3 import Connection
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.versions.column_names import versioned
from autocrud.storage.metadata.sql.revisions import REWRITING_KINDS
from autocrud.storage.metadata.sqlite.base_tables import DATA_COLUMNS, META_COLUMNS, BaseTables
from autocrud.storage.metadata.sqlite.compiler import quote
from autocrud.storage.metadata.sqlite.history_tables import COMMIT_COLUMNS
from autocrud.storage.metadata.sqlite.tables import SqliteTables


def create_base_tables(tables: BaseTables, db: Connection) -> None:
    """Create the missing tables of a model, without the columns and indexes of index fields."""
    for statement in (*_head_tables(tables), *_history_tables(tables), *_side_tables(tables)):
        db.execute(statement)


def create_tables(tables: SqliteTables, db: Connection) -> None:
    """Create the missing tables of a model that this process knows, without the columns and indexes of index fields."""
    create_base_tables(tables, db)
    db.execute(_retention_index(tables.spec, tables.history.commits))
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
        name, column = f"{heads}__{field.column}", quote(field.column)
        definitions[name] = f"CREATE INDEX {quote(name)} ON {heads} ({column}, created_time, resource_id) {live}"
    for unique in spec.unique_constraints:
        if len(unique.fields) > 1:
            # For upserts, which search by all values of a set. Claims decide, so that the index need not be unique.
            set_name = f"{versioned('un', unique.fields[0].schema_version)}_{unique.name}"
            name, columns = f"{heads}__{set_name}", ", ".join(quote(field.column) for field in unique.fields)
            definitions[name] = f"CREATE INDEX {quote(name)} ON {heads} ({columns}) {live}"
    return definitions


def _head_tables(tables: BaseTables) -> Iterator[str]:
    # The numbers of rows never change, because the tables of items and words refer to them.
    heads = _column_definitions({"row": "INTEGER PRIMARY KEY", "resource_id": "TEXT UNIQUE NOT NULL"})
    heads += ", " + _column_definitions(META_COLUMNS | DATA_COLUMNS)
    fields = "column TEXT PRIMARY KEY, signature TEXT NOT NULL, after INTEGER, done INTEGER NOT NULL"
    yield f"CREATE TABLE IF NOT EXISTS {tables.heads} ({heads})"
    yield f"CREATE TABLE IF NOT EXISTS {tables.fields} ({fields}, total INTEGER NOT NULL, passed_by INTEGER NOT NULL)"


def _history_tables(tables: BaseTables) -> Iterator[str]:
    """Yield the statements for the history, with the index of the few rows that a look-up of a revision needs."""
    commits = tables.history.commits
    key = "PRIMARY KEY (resource_id, version)"
    rewrites = f"CREATE INDEX IF NOT EXISTS {commits}_rewrites"
    yield f"CREATE TABLE IF NOT EXISTS {commits} ({_column_definitions(COMMIT_COLUMNS)}, {key}) WITHOUT ROWID"
    yield f"{rewrites} ON {commits} (resource_id, revision_id, version) WHERE kind IN {REWRITING_KINDS}"


def _retention_index(spec: ModelSpec[Any], commits: str) -> str:
    # Only a retention searches for old data: without one, the index would be cost alone.
    if spec.retention is None:
        return f"DROP INDEX IF EXISTS {commits}_held"
    return f"CREATE INDEX IF NOT EXISTS {commits}_held ON {commits} (resource_id, version) WHERE locator IS NOT NULL"


def _side_tables(tables: BaseTables) -> Iterator[str]:
    names = tables.side_tables
    blobs = "file_id TEXT PRIMARY KEY NOT NULL, size INTEGER, key TEXT NOT NULL, created_time TEXT, record TEXT"
    references = "resource_id TEXT NOT NULL, version INTEGER NOT NULL, file_id TEXT NOT NULL"
    keys = "key TEXT PRIMARY KEY NOT NULL, fingerprint TEXT NOT NULL, expires TEXT, resource_id TEXT NOT NULL"
    primary = "PRIMARY KEY (resource_id, version, file_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.blobs} ({blobs}) WITHOUT ROWID"
    yield f"CREATE TABLE IF NOT EXISTS {names.references} ({references}, {primary}) WITHOUT ROWID"
    yield f"CREATE INDEX IF NOT EXISTS {names.references}_by_file ON {names.references} (file_id)"
    yield f"CREATE TABLE IF NOT EXISTS {names.keys} ({keys}) WITHOUT ROWID"
    yield f"CREATE INDEX IF NOT EXISTS {names.keys}_by_resource ON {names.keys} (resource_id)"


def _column_definitions(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
