"""The items of list fields, in a table for each field that SQLite's own triggers on the heads keep.

It is an index: its key begins with the item, and goes on in the order of lists, so that a page of those that have an
item costs the same however many there are. What is deleted softly keeps its items.
"""

from collections.abc import Collection
from sqlite3 import Connection

from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.sqlite.compiler import items_table, quoted
from autocrud.storage.metadata.sqlite.tables import SqliteTables

_PLACE = ("created_time", "resource_id", "row")  # of a head
_PREFIX = "_items_"  # no name of a model begins like it


def match_items(
    spec: ModelSpec[object], tables: SqliteTables, db: Connection, *, postponed: Collection[str] = ()
) -> None:
    """Create and fill the tables that the model wants, and drop those that it no longer does.

    Args:
        postponed: columns that are being filled, whose tables are made afterwards if they are not there.
    """
    lists = [field for field in spec.index_fields if field.is_list]
    wanted = {name: sql for field in lists for name, sql in _objects(field, tables.heads).items()}
    present = _present(db)
    for field in lists:
        objects = _objects(field, tables.heads)
        is_later = field.column in postponed and not objects.keys() & present.keys()
        if is_later or all(present.get(name) == sql for name, sql in objects.items()):
            continue
        _drop(db, {name: sql for name, sql in present.items() if name in objects})
        table, *triggers = objects.values()
        db.execute(table)
        # In the order of the key, in which the table grows at its end.
        items = (
            f"SELECT value, {', '.join(_PLACE)} FROM {tables.heads}, json_each({quoted(field.column)}) ORDER BY 1, 2, 3"
        )
        db.execute(f"INSERT INTO {items_table(field)} {items}")
        for trigger in triggers:
            db.execute(trigger)
    _drop(db, {name: sql for name, sql in present.items() if name not in wanted})


def drop_items(db: Connection) -> None:
    """Drop all of these tables, so that the columns that they follow can be changed."""
    _drop(db, _present(db))


def _objects(field: IndexField, heads: str) -> dict[str, str]:
    """The statements that make a field's table and the triggers that keep it, by what they make; the table first."""
    items, column, name = items_table(field), quoted(field.column), field.column
    place = ", ".join(f"new.{part}" for part in _PLACE)
    added = f"INSERT INTO {items} SELECT value, {place} FROM json_each(new.{column});"
    values = f"value IN (SELECT value FROM json_each(old.{column}))"
    removed = f"DELETE FROM {items} WHERE {values} AND (time, id) = (old.created_time, old.resource_id);"
    changed = f"new.{column} IS NOT old.{column} OR new.created_time IS NOT old.created_time"
    triggers = {
        f"{_PREFIX}insert_{name}": f"INSERT ON {heads} WHEN new.{column} IS NOT NULL BEGIN {added} END",
        f"{_PREFIX}update_{name}": f"UPDATE OF {column}, created_time ON {heads} WHEN {changed}"
        f" BEGIN {removed} {added} END",
        f"{_PREFIX}delete_{name}": f"DELETE ON {heads} WHEN old.{column} IS NOT NULL BEGIN {removed} END",
    }
    columns = "value NOT NULL, time TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL"
    table = f"CREATE TABLE {items} ({columns}, PRIMARY KEY (value, time, id)) WITHOUT ROWID"
    return {f"{_PREFIX}{name}": table} | {
        name: f"CREATE TRIGGER {quoted(name)} AFTER {sql}" for name, sql in triggers.items()
    }


def _present(db: Connection) -> dict[str, str]:
    """These tables and triggers as they are, by their names; triggers first, which go before what they write to."""
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger') AND substr(name, 1, ?) = ?"
        " ORDER BY type DESC",
        (len(_PREFIX), _PREFIX),
    )
    return dict(rows.fetchall())


def _drop(db: Connection, objects: dict[str, str]) -> None:
    for name, sql in objects.items():
        db.execute(f"DROP {'TRIGGER' if sql.startswith('CREATE TRIGGER') else 'TABLE'} {quoted(name)}")
