"""The words of documents in SQLite: an FTS5 table beside the heads, which triggers on the heads keep.

It holds no text: that stands in the heads. A word there is what stands between two spaces.
"""

from sqlite3 import Connection

from autocrud.schema.search_document import DocumentField
from autocrud.storage.metadata.sqlite.compiler import quoted, words_name, words_table
from autocrud.storage.metadata.sqlite.tables import SqliteTables

# Letters and digits of ASCII, and all that is not ASCII, make words; a dot is what stands between two texts.
_TOKENIZER = "ascii tokenchars '.'"
_TABLES = "sql LIKE 'CREATE VIRTUAL TABLE%' AND name GLOB 'document_*_words'"
_TRIGGERS = "type = 'trigger' AND name GLOB 'document_*_words_*'"


def match_words(tables: SqliteTables, db: Connection) -> None:
    """Create and fill the table of the words, where the model wants one, and drop one that it no longer wants."""
    wanted = {} if tables.document is None else _wanted(tables.document, tables.heads)
    rows = db.execute(f"SELECT type, name, sql FROM sqlite_master WHERE {_TABLES} OR {_TRIGGERS}").fetchall()
    if {name: sql for _, name, sql in rows} == wanted:
        return
    for kind, name, _ in rows:
        db.execute(f"DROP {kind} {quoted(name)}")
    for sql in wanted.values():
        db.execute(sql)
    if tables.document is not None:
        table = words_table(tables.document)
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")


def forget_words(db: Connection) -> None:
    """Leave nothing in the tables of what is no longer in the heads: until it is merged, FTS5 only marks it."""
    for (name,) in db.execute(f"SELECT name FROM sqlite_master WHERE {_TABLES}").fetchall():
        table = quoted(name)
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")


def _wanted(field: DocumentField, heads: str) -> dict[str, str]:
    """The statements that make the table and its triggers, by their names."""
    column, table, name = quoted(field.column), words_table(field), words_name(field)
    options = f"content = '{heads}', content_rowid = 'row', tokenize = \"{_TOKENIZER}\""
    add = f"INSERT INTO {table} (rowid, {column}) SELECT new.row, new.{column} WHERE new.{column} IS NOT NULL;"
    remove = (
        f"INSERT INTO {table} ({table}, rowid, {column})"
        f" SELECT 'delete', old.row, old.{column} WHERE old.{column} IS NOT NULL;"
    )
    changed = f"AFTER UPDATE OF {column} ON {heads} WHEN old.{column} IS NOT new.{column}"
    return {
        name: f"CREATE VIRTUAL TABLE {table} USING fts5 ({column}, {options})",
        f"{name}_insert": f"CREATE TRIGGER {quoted(f'{name}_insert')} AFTER INSERT ON {heads} BEGIN {add} END",
        f"{name}_delete": f"CREATE TRIGGER {quoted(f'{name}_delete')} AFTER DELETE ON {heads} BEGIN {remove} END",
        f"{name}_update": f"CREATE TRIGGER {quoted(f'{name}_update')} {changed} BEGIN {remove} {add} END",
    }
