"""Brings the index columns and the indexes of existing tables in line with the model, as it is now."""

from collections.abc import Awaitable, Callable
from functools import partial
from sqlite3 import Connection, IntegrityError
from typing import Any

from autocrud.errors import ConfigurationError, InvalidData
from autocrud.model import ModelSpec
from autocrud.storage.meta.sqlite_items import drop_items, match_items
from autocrud.storage.meta.sqlite_query import quoted, stored
from autocrud.storage.meta.sqlite_tables import SqliteTables
from autocrud.storage.meta.sqlite_thread import SqliteThread, begin
from autocrud.uniqueness import UniqueSet

_FILL_ROWS = 500


async def fill_columns(
    writer: SqliteThread, spec: ModelSpec[Any], tables: SqliteTables, read: Callable[[str], Awaitable[bytes]]
) -> None:
    """Give the heads the columns of new index fields, filled from their data, in one transaction.

    Args:
        read: the data that a locator names, for heads that do not hold it.

    Raises:
        ConfigurationError: stored data does not fit a column.
    """
    if not await writer.run(partial(_missing_columns, tables)):
        return
    await writer.run(begin)
    try:
        await writer.run(partial(_add_columns, tables))
        after: str | None = ""
        while after is not None:
            after = await _fill_rows(writer, spec, tables, read, after)
        await writer.run(Connection.commit)
    except BaseException:
        await writer.run(Connection.rollback)
        raise


def match_indexes(spec: ModelSpec[Any], tables: SqliteTables, db: Connection) -> None:
    """Create the indexes that the model wants, and drop those that it no longer does.

    Raises:
        ConfigurationError: what is to be unique is not.
    """
    match_items(spec, tables, db)
    wanted = _wanted(spec, tables)
    unique_sets = {_unique_name(tables, unique): unique for unique in spec.unique_sets}
    present = _drop_indexes(db, tables, keep=wanted)
    for name, sql in wanted.items():
        if name in present:
            continue
        try:
            db.execute(sql)
        except IntegrityError as error:
            raise unique_sets[name].refused(spec.type_name) from error


async def _fill_rows(
    writer: SqliteThread,
    spec: ModelSpec[Any],
    tables: SqliteTables,
    read: Callable[[str], Awaitable[bytes]],
    after: str,
) -> str | None:
    """Fill some rows; returns the id to go on behind, None at the end."""
    rows = await writer.run(lambda db: tables.data_rows(db, after, _FILL_ROWS))
    values = []
    for resource_id, head, locator in rows:
        data = await read(locator) if head is None else head
        try:
            values.append((*map(stored, spec.index_values(data)), resource_id))
        except InvalidData as error:
            reasons = "; ".join(f"{item.field} {item.message}" for item in error.errors)
            raise ConfigurationError(f"{spec.type_name} {resource_id!r}: {reasons}") from error
    await writer.run(lambda db: tables.set_index_values(db, values))
    return rows[-1][0] if rows else None


def _missing_columns(tables: SqliteTables, db: Connection) -> list[str]:
    """The index columns that the heads do not have, or have with another type."""
    existing = _columns(db, tables)
    return [name for name, kind in tables.index_columns.items() if existing.get(name) != kind]


def _add_columns(tables: SqliteTables, db: Connection) -> None:
    """Add the missing columns, empty. One of another type is replaced, and so are the indexes on it."""
    existing, names = _columns(db, tables), _missing_columns(tables, db)
    if any(name in existing for name in names):
        _drop_indexes(db, tables, keep={})
        drop_items(db)
    for name in names:
        if name in existing:
            db.execute(f"ALTER TABLE {tables.heads} DROP COLUMN {quoted(name)}")
        db.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quoted(name)} {tables.index_columns[name]}")


def _wanted(spec: ModelSpec[Any], tables: SqliteTables) -> dict[str, str]:
    heads = tables.heads
    order, live = "(created_time, resource_id)", "WHERE is_deleted = 0"
    wanted = {
        f"{heads}_all": f"CREATE INDEX {heads}_all ON {heads} {order}",
        f"{heads}_live": f"CREATE INDEX {heads}_live ON {heads} {order} {live}",
    }
    for field in spec.index_fields:
        if field.is_list:
            continue  # has a table of its items
        name, column = f"{heads}_{field.column}", quoted(field.column)
        wanted[name] = f"CREATE INDEX {quoted(name)} ON {heads} ({column}, created_time, resource_id) {live}"
    for unique in spec.unique_sets:
        # That of one field serves its filters too, and stands in place of its other one.
        name, columns = _unique_name(tables, unique), ", ".join(quoted(field.column) for field in unique.fields)
        wanted[name] = f"CREATE UNIQUE INDEX {quoted(name)} ON {heads} ({columns}) {live}"
    return wanted


def _unique_name(tables: SqliteTables, unique: UniqueSet) -> str:
    return f"{tables.heads}_{'ix' if len(unique.fields) == 1 else 'un'}_{unique.name}"


def _columns(db: Connection, tables: SqliteTables) -> dict[str, str]:
    return {name: kind for _, name, kind, *_ in db.execute(f"PRAGMA table_info({tables.heads})")}


def _drop_indexes(db: Connection, tables: SqliteTables, keep: dict[str, str]) -> set[str]:
    """Drop the heads' indexes that are not kept as they are, and name those that are."""
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (tables.heads,),
    ).fetchall()
    kept = {name for name, sql in rows if keep.get(name) == sql}
    for name, _ in rows:
        if name not in kept:
            db.execute(f"DROP INDEX {quoted(name)}")
    return kept
