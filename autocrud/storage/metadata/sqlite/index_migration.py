"""Brings the index columns and the indexes of existing tables in line with the model, as it is now."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from sqlite3 import Connection, IntegrityError
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.runner import BackfillEngine, NotUnique, Progress, large_values, values_of
from autocrud.storage.metadata.sqlite.compiler import quoted, stored
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, in_transaction
from autocrud.storage.metadata.sqlite.index_state import furthest_behind
from autocrud.storage.metadata.sqlite.index_tables import drop_item_tables, match_item_tables, match_word_table
from autocrud.storage.metadata.sqlite.schema import index_definitions
from autocrud.storage.metadata.sqlite.tables import SqliteTables

# Of data that stands in the log: what its columns get by name, or why they cannot; by the resource and the locator.
_Large = dict[tuple[str, str], dict[str, IndexValue] | Exception]


class SqliteBackfillEngine(BackfillEngine):
    """Fills in transactions of the store's own writer, each as long as a batch of rows takes.

    Args:
        lock: the store's, which its commits hold.
        read: the data that a locator names, for heads that do not hold it.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        tables: SqliteTables,
        writer: SqliteConnection,
        reader: SqliteConnection,
        lock: asyncio.Lock,
        read: Callable[[str], Awaitable[bytes]],
    ) -> None:
        self._spec = spec
        self._tables = tables
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._read = read

    async def begin(self) -> None:
        await self._run(partial(match_columns, self._spec, self._tables))

    async def begin_again(self) -> None:
        await self._run(self._tables.index_states.begin_again)

    async def progress(self) -> list[Progress]:
        states = await self._reader.run(self._tables.index_states.pending)
        return [Progress(state.column, state.done, state.total) for state in states]

    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        # Before the transaction: what is in the log takes its time.
        large = await self._large(fields, rows)
        await self._run(partial(self._fill, fields, rows, large))
        return True

    async def index(self, postponed: Collection[str]) -> bool:
        await self._run(partial(match_indexes, self._spec, self._tables, postponed=postponed))
        return True

    async def _run(self, work: Callable[[Connection], None]) -> None:
        async with self._lock:
            await self._writer.run(partial(in_transaction, work))

    async def _large(self, fields: Sequence[IndexField], rows: int) -> _Large:
        """What the next rows get that do not hold their data."""

        def places(db: Connection) -> list[tuple[str, str]]:
            _, after = furthest_behind(self._tables.index_states.pending(db), fields)
            found = _rows(db, self._tables, after, rows)
            return [(resource_id, locator) for _, resource_id, head, locator in found if head is None]

        found = await large_values(self._spec, fields, await self._reader.run(places), self._read)
        return {
            place: values
            if isinstance(values, Exception)
            else {field.column: value for field, value in zip(fields, values, strict=True)}
            for place, values in found.items()
        }

    def _fill(self, fields: Sequence[IndexField], rows: int, large: _Large, db: Connection) -> None:
        behind, after = furthest_behind(self._tables.index_states.pending(db), fields)
        if not behind:
            return
        found = _rows(db, self._tables, after, rows)
        values: list[tuple[Any, ...]] = []
        for row, resource_id, head, locator in found:
            if head is not None:
                mine = values_of(self._spec, behind, resource_id, head)
            else:
                known = large.get((resource_id, locator))
                if known is None:
                    break  # written meanwhile: the next batch begins with it
                if isinstance(known, Exception):
                    raise known
                mine = tuple(known[field.column] for field in behind)
            values.append((*map(stored, mine), row))
        self._set(db, behind, values)
        at_end = len(found) < rows and len(values) == len(found)
        reached = values[-1][-1] if values else after
        self._tables.index_states.reach(db, behind, None if at_end else reached, len(values))

    def _set(self, db: Connection, fields: Sequence[IndexField], values: Sequence[tuple[Any, ...]]) -> None:
        columns = [quoted(field.column) for field in fields]
        assignments = ", ".join(f"{column} = ?{place}" for place, column in enumerate(columns, 1))
        # Rows that have these values already, most of them where it begins again, are not written.
        differs = " OR ".join(f"{column} IS NOT ?{place}" for place, column in enumerate(columns, 1))
        update = f"UPDATE {self._tables.heads} SET {assignments} WHERE row = ?{len(columns) + 1} AND ({differs})"
        try:
            db.executemany(update, values)
        except IntegrityError as error:
            raise _not_unique(self._spec, error) from error


def match_columns(spec: ModelSpec[Any], tables: SqliteTables, db: Connection) -> None:
    """Add the missing index columns, empty, and begin to fill what is not, or no longer, of the model.

    A column of another type is replaced. One that was there before states were kept is filled.
    """
    fields = tables.index_states
    were_there = fields.create_table(db)
    columns, states = _columns(db, tables), fields.states(db)
    total: int | None = None
    for field in spec.index_fields:
        kind = tables.index_columns[field.column]
        is_there = columns.get(field.column) == kind
        if is_there and fields.is_current(states.get(field.column), field):
            continue
        if not is_there:
            _replace_column(db, tables, field.column, kind, is_there=field.column in columns)
        if total is None:
            (total,) = db.execute(f"SELECT count(*) FROM {tables.heads}").fetchone()
        fields.begin(db, field, 0 if is_there and were_there else total)


def match_indexes(
    spec: ModelSpec[Any], tables: SqliteTables, db: Connection, *, postponed: Collection[str] = ()
) -> None:
    """Create the indexes that the model wants, and drop those that it no longer does.

    Args:
        postponed: columns that are being filled; to fill an index with them is quicker afterwards.

    Raises:
        NotUnique: a field is to be unique, and is not.
    """
    match_item_tables(spec, tables, db, postponed=postponed)
    match_word_table(tables, db)
    definitions = index_definitions(spec, tables)
    present = _drop_indexes(db, tables, keep=definitions) | {f"{tables.heads}_{column}" for column in postponed}
    for name, sql in definitions.items():
        if name in present:
            continue
        try:
            db.execute(sql)
        except IntegrityError as error:
            raise _not_unique(spec, error) from error


def _rows(db: Connection, tables: SqliteTables, after: int, limit: int) -> list[tuple[int, str, bytes | None, str]]:
    """Rows with their data or its locator."""
    sql = f"SELECT row, resource_id, head, head_locator FROM {tables.heads} WHERE row > ? ORDER BY row LIMIT ?"
    return db.execute(sql, (after, limit)).fetchall()


def _replace_column(db: Connection, tables: SqliteTables, name: str, kind: str, *, is_there: bool) -> None:
    if is_there:
        # No index may stand on a column that goes.
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (tables.heads,))
        keep = {index: sql for index, sql in rows if sql and quoted(name) not in sql}
        _drop_indexes(db, tables, keep)
        drop_item_tables(db)  # nor a trigger
        db.execute(f"ALTER TABLE {tables.heads} DROP COLUMN {quoted(name)}")
    db.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quoted(name)} {kind}")


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


def _not_unique(spec: ModelSpec[Any], error: IntegrityError) -> NotUnique:
    """By the columns that SQLite names, as in `UNIQUE constraint failed: heads.ix_a, heads.ix_b`."""
    for unique in spec.unique_sets:
        if str(error).endswith(": " + ", ".join(f"{_table(error)}.{field.column}" for field in unique.fields)):
            return NotUnique(unique)
    raise error


def _table(error: IntegrityError) -> str:
    return str(error).rpartition(": ")[2].partition(".")[0]
