"""Tables that index list items and search words in SQLite. SQLite's own triggers on the heads keep them current.

The table of a list field is keyed by the item, then by the order of lists. A page of the resources that have an item
therefore costs the same, however many resources have it. A soft-deleted resource keeps its items.

The words of documents are in an FTS5 table without a copy of the text, which is in the heads. A word is what stands
between two spaces there.
"""

import re
from collections.abc import Collection
from sqlite3 import Connection

from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.versions.column_names import version_of_name
from autocrud.storage.metadata.sqlite.compiler import items_table, quote, words_name, words_table
from autocrud.storage.metadata.sqlite.tables import SqliteTables

_PLACE = ("created_time", "resource_id", "row")  # of a head
_EVENT = re.compile("^(insert|update|delete)_")
# ASCII letters and digits, and everything that is not ASCII, make words; a dot separates two texts.
_TOKENIZER = "ascii tokenchars '.'"
_WORD_TABLES = "sql LIKE 'CREATE VIRTUAL TABLE%' AND name GLOB '_words_*'"


def match_item_tables(
    spec: ModelSpec[object], tables: SqliteTables, db: Connection, *, postponed: Collection[str] = ()
) -> None:
    """Create and fill the tables of the model's list fields, and drop the tables of other fields of its version.

    Args:
        postponed: columns of an unfinished backfill; a missing table of such a column is made afterwards.
    """
    lists = [field for field in spec.index_fields if field.is_list]
    needed = {name for field in lists for name in _item_statements(field, tables)}
    present = _present_items(db, tables.base, spec.schema.version)
    for field in lists:
        statements = _item_statements(field, tables)
        is_later = field.column in postponed and not statements.keys() & present.keys()
        if is_later or all(present.get(name) == sql for name, sql in statements.items()):
            continue
        _drop(db, {name: sql for name, sql in present.items() if name in statements})
        table, *triggers = statements.values()
        db.execute(table)
        # In the order of the key: the table grows at its end only.
        place = ", ".join(_PLACE)
        items = f"SELECT value, {place} FROM {tables.heads}, json_each({quote(field.column)}) ORDER BY 1, 2, 3"
        db.execute(f"INSERT INTO {items_table(tables.base, field)} {items}")
        for trigger in triggers:
            db.execute(trigger)
    _drop(db, {name: sql for name, sql in present.items() if name not in needed})


def drop_item_tables(db: Connection, base: str, version: int) -> None:
    """Drop the tables of a schema version's list fields, so that the columns under their triggers can be changed."""
    _drop(db, _present_items(db, base, version))


def drop_word_tables(db: Connection, base: str, version: int) -> None:
    """Drop the tables of a schema version's words, with their triggers."""
    for kind, name, _ in _present_words(db, base, version):
        db.execute(f"DROP {kind} {quote(name)}")


def match_word_table(spec: ModelSpec[object], tables: SqliteTables, db: Connection) -> None:
    """Create and fill the table of the document's words if the model has a document, and drop others of its version."""
    needed = {} if tables.document is None else _word_statements(tables.document, tables)
    if {name: sql for _, name, sql in _present_words(db, tables.base, spec.schema.version)} == needed:
        return
    drop_word_tables(db, tables.base, spec.schema.version)
    for sql in needed.values():
        db.execute(sql)
    if tables.document is not None:
        table = words_table(tables.base, tables.document)
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")


def erase_deleted_words(db: Connection) -> None:
    """Erase the words of deleted heads from the word tables. FTS5 only marks them as deleted until it merges."""
    for (name,) in db.execute(f"SELECT name FROM sqlite_master WHERE {_WORD_TABLES}").fetchall():
        table = quote(name)
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")


def _item_statements(field: IndexField, tables: SqliteTables) -> dict[str, str]:
    """Return the statements that make a field's table and its triggers, by object name, the table first."""
    items, column, heads = items_table(tables.base, field), quote(field.column), tables.heads
    prefix = _items_prefix(tables.base)
    place = ", ".join(f"new.{part}" for part in _PLACE)
    added = f"INSERT INTO {items} SELECT value, {place} FROM json_each(new.{column});"
    values = f"value IN (SELECT value FROM json_each(old.{column}))"
    removed = f"DELETE FROM {items} WHERE {values} AND (time, id) = (old.created_time, old.resource_id);"
    changed = f"new.{column} IS NOT old.{column} OR new.created_time IS NOT old.created_time"
    triggers = {
        f"{prefix}insert_{field.column}": f"INSERT ON {heads} WHEN new.{column} IS NOT NULL BEGIN {added} END",
        f"{prefix}update_{field.column}": f"UPDATE OF {column}, created_time ON {heads} WHEN {changed}"
        f" BEGIN {removed} {added} END",
        f"{prefix}delete_{field.column}": f"DELETE ON {heads} WHEN old.{column} IS NOT NULL BEGIN {removed} END",
    }
    columns = "value NOT NULL, time TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL"
    table = f"CREATE TABLE {items} ({columns}, PRIMARY KEY (value, time, id)) WITHOUT ROWID"
    return {f"{prefix}{field.column}": table} | {
        name: f"CREATE TRIGGER {quote(name)} AFTER {sql}" for name, sql in triggers.items()
    }


def _word_statements(field: DocumentField, tables: SqliteTables) -> dict[str, str]:
    """Return the statements that make the table of words and its triggers, by object name."""
    base, heads, column = tables.base, tables.heads, quote(field.column)
    table, name = words_table(base, field), words_name(base, field)
    options = f"content = '{heads}', content_rowid = 'row', tokenize = \"{_TOKENIZER}\""
    add = f"INSERT INTO {table} (rowid, {column}) SELECT new.row, new.{column} WHERE new.{column} IS NOT NULL;"
    remove = (
        f"INSERT INTO {table} ({table}, rowid, {column})"
        f" SELECT 'delete', old.row, old.{column} WHERE old.{column} IS NOT NULL;"
    )
    changed = f"AFTER UPDATE OF {column} ON {heads} WHEN old.{column} IS NOT new.{column}"
    return {
        name: f"CREATE VIRTUAL TABLE {table} USING fts5 ({column}, {options})",
        f"{name}_insert": f"CREATE TRIGGER {quote(f'{name}_insert')} AFTER INSERT ON {heads} BEGIN {add} END",
        f"{name}_delete": f"CREATE TRIGGER {quote(f'{name}_delete')} AFTER DELETE ON {heads} BEGIN {remove} END",
        f"{name}_update": f"CREATE TRIGGER {quote(f'{name}_update')} {changed} BEGIN {remove} {add} END",
    }


def _present_words(db: Connection, base: str, version: int) -> list[tuple[str, str, str]]:
    """Return type, name and statement of a schema version's word tables and triggers."""
    prefix = f"_words_{base}__"
    rows = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE substr(name, 1, ?) = ?"
        " AND (sql LIKE 'CREATE VIRTUAL TABLE%' OR type = 'trigger')",
        (len(prefix), prefix),
    )
    return [row for row in rows.fetchall() if version_of_name(row[1].removeprefix(prefix)) == version]


def _present_items(db: Connection, base: str, version: int) -> dict[str, str]:
    """Return the statements of a schema version's item tables and triggers, by name, each trigger before its table."""
    prefix = _items_prefix(base)
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger') AND substr(name, 1, ?) = ?"
        " ORDER BY type DESC",
        (len(prefix), prefix),
    )
    return {name: sql for name, sql in rows if version_of_name(_EVENT.sub("", name.removeprefix(prefix))) == version}


def _items_prefix(base: str) -> str:
    """Return the start of the names of a model's item tables and their triggers."""
    return f"_items_{base}__"


def _drop(db: Connection, statements: dict[str, str]) -> None:
    for name, sql in statements.items():
        db.execute(f"DROP {'TRIGGER' if sql.startswith('CREATE TRIGGER') else 'TABLE'} {quote(name)}")
