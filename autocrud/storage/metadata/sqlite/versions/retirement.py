"""Drops what schema versions have in SQLite whose processes no longer run."""

import logging
from sqlite3 import Connection

from autocrud.schema.versions.column_names import retired_versions, version_in_target, version_of_name
from autocrud.storage.metadata.sqlite.compiler import quote
from autocrud.storage.metadata.sqlite.index_tables import drop_item_tables, drop_word_tables
from autocrud.storage.metadata.sqlite.point_in_time import states_prefix
from autocrud.storage.metadata.sqlite.tables import SqliteTables

logger = logging.getLogger(__name__)


def drop_retired_versions(version: int, tables: SqliteTables, db: Connection) -> None:
    """Drop columns, indexes, triggers and tables of schema versions below the two next lower ones.

    Args:
        version: schema version of this process.
    """
    columns = [name for _, name, *_ in db.execute(f"PRAGMA table_info({tables.heads})")]
    states = _state_tables(tables, db)
    present = {other for other in map(version_of_name, columns) if other is not None} | set(states.values())
    retired = retired_versions(version, present)
    if not retired:
        return
    logger.info("%s: dropping the index columns of schema versions %s", tables.base, sorted(retired))
    for table in [name for name, other in states.items() if other in retired]:
        drop_states(db, table)
    for other in retired:
        drop_item_tables(db, tables.base, other)
        drop_word_tables(db, tables.base, other)
    for name, target in index_targets(tables, db).items():
        if version_in_target(target) in retired:
            db.execute(f"DROP INDEX {quote(name)}")
    for name in columns:
        if version_of_name(name) in retired:
            db.execute(f"ALTER TABLE {tables.heads} DROP COLUMN {quote(name)}")
    fields = tables.index_states.table
    for (name,) in db.execute(f"SELECT column FROM {fields}").fetchall():
        if version_of_name(name) in retired:
            db.execute(f"DELETE FROM {fields} WHERE column = ?", (name,))


def index_targets(tables: SqliteTables, db: Connection) -> dict[str, str]:
    """Return the columns and the condition of each index of the heads, by its name."""
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (tables.heads,),
    )
    return {name: sql.partition(f" ON {tables.heads} ")[2] for name, sql in rows}


def drop_states(db: Connection, table: str) -> None:
    """Drop a table of states with its triggers, which stand on other tables."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ?"
    for (name,) in db.execute(sql, (len(table) + 1, f"{table}_")).fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute(f"DROP TABLE IF EXISTS {table}")


def _state_tables(tables: SqliteTables, db: Connection) -> dict[str, int]:
    """Return the schema versions of the tables of states, by table."""
    prefix = states_prefix(tables.base)
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, ?) = ?"
    names = [name for (name,) in db.execute(sql, (len(prefix), prefix))]
    versions = {name: version_of_name(name.removeprefix(f"{tables.base}__")) for name in names}
    return {name: version for name, version in versions.items() if version is not None}
