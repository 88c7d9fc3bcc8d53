"""Brings the index columns and the indexes of existing tables in line with the model, as it is now."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from sqlite3 import Connection
from time import monotonic
from typing import Any, NamedTuple

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.column_names import version_in_target
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.column_state import stale_row_condition
from autocrud.storage.index_backfill.engine import BackfillEngine, Progress
from autocrud.storage.index_backfill.values import read_large_values, values_of
from autocrud.storage.metadata.sqlite.compiler import quote, stored_value
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.index_state import least_filled_fields
from autocrud.storage.metadata.sqlite.index_tables import drop_item_tables, match_item_tables, match_word_table
from autocrud.storage.metadata.sqlite.schema import index_definitions
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.metadata.sqlite.versions.refresh import SqliteRefresher
from autocrud.storage.metadata.sqlite.versions.retirement import drop_retired_versions, index_targets
from autocrud.storage.metadata.sqlite.versions.stale_rows import restart_newer, stale_index

_LOCK_SECONDS = 0.025  # of a batch, while writers wait

# For data in the log: the values by column, or the conversion error; by resource and locator.
_LargeValues = dict[tuple[str, str], dict[str, IndexValue] | Exception]


class _StoredRow(NamedTuple):
    """A row of the heads, with its data, or with the locator of the data."""

    row: int
    resource_id: str
    schema_version: int
    data: bytes | None
    locator: str


class SqliteBackfillEngine(BackfillEngine):
    """Fills in transactions of the store's own writer, each as long as a batch of rows takes.

    Args:
        file: SQLite file of the store, whose lock commits hold.
        read: the data that a locator names, for heads that do not hold it.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        tables: SqliteTables,
        file: StoreFile,
        read: Callable[[str], Awaitable[bytes]],
    ) -> None:
        super().__init__(StoredIndex(spec))
        self._spec = spec
        self._tables = tables
        self._reader = file.queries
        self._run = file.write
        self._read = read
        self._refresher = SqliteRefresher(spec, tables, self.stored_index, self._reader, self._run, read)

    async def begin(self) -> None:
        await self._run(partial(match_columns, self._spec, self._tables))

    async def restart_stale(self) -> None:
        await self._run(self._tables.index_states.restart_stale)

    async def progress(self) -> list[Progress]:
        states = await self._reader.run(self._tables.index_states.pending)
        return [Progress(state.column, state.done, state.total) for state in states]

    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        # Before the transaction: what is in the log takes its time.
        large = await self._read_large_values(fields, rows)
        await self._run(partial(self._fill, fields, rows, large))
        return True

    async def index(self, postponed: Collection[str]) -> bool:
        await self._run(partial(match_indexes, self._spec, self._tables, postponed=postponed))
        return True

    async def has_stale(self) -> bool:
        return await self._reader.run(self._refresher.has_stale)

    async def refresh(self) -> bool:
        if not await self._reader.run(self._refresher.is_ready):
            # Columns of other versions came after the start of this process.
            await self.index({progress.column for progress in await self.progress()})
            if not await self._reader.run(self._refresher.is_ready):
                return False
        return await self._refresher.refresh()

    async def restart_newer(self) -> None:
        await self._run(partial(restart_newer, self._tables, self._spec.schema.version))

    async def _read_large_values(self, fields: Sequence[IndexField], rows: int) -> _LargeValues:
        """Return the values of the next rows whose data is in the log alone."""

        def find_places(db: Connection) -> dict[tuple[str, str], int]:
            _, after = least_filled_fields(self._tables.index_states.pending(db), fields)
            found = _rows(db, self._tables, after, rows)
            return {(row.resource_id, row.locator): row.schema_version for row in found if row.data is None}

        found = await read_large_values(self.stored_index, fields, await self._reader.run(find_places), self._read)
        return {
            place: values
            if isinstance(values, Exception)
            else {field.column: value for field, value in zip(fields, values, strict=True)}
            for place, values in found.items()
        }

    def _fill(self, fields: Sequence[IndexField], rows: int, large: _LargeValues, db: Connection) -> None:
        pending_fields, after = least_filled_fields(self._tables.index_states.pending(db), fields)
        if not pending_fields:
            return
        found = _rows(db, self._tables, after, rows)
        values: list[tuple[Any, ...]] = []
        deadline = monotonic() + _LOCK_SECONDS
        for row in found:
            if values and monotonic() > deadline:
                break  # writers wait: the next batch begins with it
            if row.data is not None:
                row_values = values_of(self.stored_index, pending_fields, row.resource_id, row.data, row.schema_version)
            else:
                logged_values = large.get((row.resource_id, row.locator))
                if logged_values is None:
                    break  # written meanwhile: the next batch begins with it
                if isinstance(logged_values, Exception):
                    raise logged_values
                row_values = tuple(logged_values[field.column] for field in pending_fields)
            values.append((*map(stored_value, row_values), row.row))
        has_others = any(row.schema_version != self._spec.schema.version for row in found)
        self._update_rows(db, pending_fields, values, has_others=has_others)
        at_end = len(found) < rows and len(values) == len(found)
        position = values[-1][-1] if values else after
        self._tables.index_states.advance(db, pending_fields, None if at_end else position, len(values))

    def _update_rows(
        self, db: Connection, fields: Sequence[IndexField], values: Sequence[tuple[Any, ...]], *, has_others: bool
    ) -> None:
        columns = [quote(field.column) for field in fields]
        assignments = ", ".join(f"{column} = ?{place}" for place, column in enumerate(columns, 1))
        # Rows that have these values already, most of them where it begins again, are not written.
        differs = " OR ".join(f"{column} IS NOT ?{place}" for place, column in enumerate(columns, 1))
        if has_others and len(fields) == len(self._spec.index_fields):  # or the other columns would seem to be filled
            version, marker = self._spec.schema.version, self._tables.marker
            differs += f" OR ({stale_row_condition(version)})"
            assignments += f", {marker} = CASE WHEN schema_version <> {version} THEN version ELSE {marker} END"
        update = f"UPDATE {self._tables.heads} SET {assignments} WHERE row = ?{len(columns) + 1} AND ({differs})"
        db.executemany(update, values)


def match_columns(spec: ModelSpec[Any], tables: SqliteTables, db: Connection) -> None:
    """Add the missing index columns, empty, and begin to fill what is not, or no longer, of the model.

    A column of another type is replaced.
    """
    fields = tables.index_states
    drop_retired_versions(spec.schema.version, tables, db)
    columns, states = _columns(db, tables), fields.states(db)
    if spec.index_fields and tables.marker not in columns:
        db.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {tables.marker} INTEGER")
    total: int | None = None
    for field in spec.index_fields:
        kind = tables.index_columns[field.column]
        exists = columns.get(field.column) == kind
        if exists and fields.is_current(states.get(field.column), field):
            continue
        if not exists:
            _replace_column(db, tables, field, kind, exists=field.column in columns)
        if total is None:
            total = tables.count_rows(db)
        fields.begin(db, field, total)


def match_indexes(
    spec: ModelSpec[Any], tables: SqliteTables, db: Connection, *, postponed: Collection[str] = ()
) -> None:
    """Create the indexes that the model wants, and drop those of its schema version that it no longer does.

    Args:
        postponed: columns that are being filled; to fill an index with them is quicker afterwards.
    """
    match_item_tables(spec, tables, db, postponed=postponed)
    match_word_table(spec, tables, db)
    definitions = index_definitions(spec, tables)
    version, columns = spec.schema.version, tables.index_columns.keys()
    # While all columns are empty, nearly all rows would be in this index.
    if columns - set(postponed) and (version > 1 or tables.index_states.has_other_versions(db)):
        definitions |= [stale_index(tables, version)]
    present = _drop_indexes(db, tables, version, keep=definitions)
    present |= {f"{tables.heads}__{column}" for column in postponed}
    for name, sql in definitions.items():
        if name not in present:
            db.execute(sql)


def _rows(db: Connection, tables: SqliteTables, after: int, limit: int) -> list[_StoredRow]:
    """Rows with their data or its locator."""
    columns = "row, resource_id, schema_version, head, head_locator"
    sql = f"SELECT {columns} FROM {tables.heads} WHERE row > ? ORDER BY row LIMIT ?"
    return list(map(_StoredRow._make, db.execute(sql, (after, limit))))


def _replace_column(db: Connection, tables: SqliteTables, field: IndexField, kind: str, *, exists: bool) -> None:
    name = field.column
    if exists:
        # No index may stand on a column that goes.
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (tables.heads,))
        keep = {index: sql for index, sql in rows if sql and quote(name) not in sql}
        _drop_indexes(db, tables, field.schema_version, keep)
        drop_item_tables(db, tables.base, field.schema_version)  # nor a trigger
        db.execute(f"ALTER TABLE {tables.heads} DROP COLUMN {quote(name)}")
    db.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quote(name)} {kind}")


def _columns(db: Connection, tables: SqliteTables) -> dict[str, str]:
    return {name: kind for _, name, kind, *_ in db.execute(f"PRAGMA table_info({tables.heads})")}


def _drop_indexes(db: Connection, tables: SqliteTables, version: int, keep: dict[str, str]) -> set[str]:
    """Drop the heads' indexes of a schema version that are not kept as they are, and name those that are."""
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (tables.heads,),
    ).fetchall()
    current_names = {name for name, sql in rows if keep.get(name) == sql}
    versions = {name: version_in_target(target) for name, target in index_targets(tables, db).items()}
    for name, _ in rows:
        if name not in current_names and versions[name] in (None, version):
            db.execute(f"DROP INDEX {quote(name)}")
    return current_names
