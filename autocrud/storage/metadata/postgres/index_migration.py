"""Brings the index columns and the indexes of existing tables in PostgreSQL in line with the model, as it is now.

Readers and writers go on meanwhile. No lock of a session is used, which a pooler in transaction mode would lose: nodes
take turns by locks of transactions.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from autocrud.errors import ConfigurationError
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.column_names import version_in_target
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.column_state import signature, stale_row_condition
from autocrud.storage.index_backfill.engine import BackfillEngine, Progress
from autocrud.storage.index_backfill.values import read_large_values, values_of
from autocrud.storage.metadata.postgres.compiler import fit_name, key_of, quote
from autocrud.storage.metadata.postgres.index_state import columns_of_field, driver_values, least_filled_fields
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.schema import (
    BUILD_TIMEOUT_S,
    IndexDefinition,
    index_definitions,
    lock_of,
    present_indexes,
)
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.postgres.versions.refresh import PostgresRefresher
from autocrud.storage.metadata.postgres.versions.retirement import drop_retired_versions
from autocrud.storage.metadata.postgres.versions.stale_rows import STALE_ROW, StaleRow, restart_newer

logger = logging.getLogger(__name__)

_LOCK_WAIT = "1s"  # for readers to end; whoever comes meanwhile waits behind
_ATTEMPTS, _PAUSE = 30, 1.0  # seconds between two
_KEEP_ALIVE = 10.0  # seconds


class PostgresBackfillEngine(BackfillEngine):
    """Fills in short transactions, of which one node at a time has one, and builds indexes beside them."""

    def __init__(self, spec: ModelSpec[Any], store: SharedStore, tables: PostgresTables, records: RecordReader) -> None:
        super().__init__(StoredIndex(spec))
        self._spec = spec
        self._store = store
        self._pool = store.pool
        self._tables = tables
        self._records = records
        self._refresher = PostgresRefresher(spec, store, tables, records, self.stored_index)

    async def begin(self) -> None:
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    async with self._pool.connection() as connection:
                        return await self._match_columns(connection, last=attempt + 1 == _ATTEMPTS)
                except _LockTimeout:
                    logger.warning("%s: a column cannot be added while others read; trying again", self._spec.name)
                    await asyncio.sleep(_PAUSE)
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(f"PostgreSQL refuses: {error}", argument="postgres_url") from error

    async def restart_stale(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(self._tables.index_states.restart_stale, timeout=BUILD_TIMEOUT_S)

    async def progress(self) -> list[Progress]:
        async with self._pool.connection() as connection:
            states = await self._tables.index_states.pending(connection)
        return [Progress(state.column, state.done, state.total) for state in states]

    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        async with self._pool.connection() as connection, connection.transaction(isolation="read_committed"):
            lock = key_of(f"{self._tables.heads}:fill")
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock):
                return False
            await self._fill(connection, fields, rows)
        return True

    async def index(self, postponed: Collection[str]) -> bool:
        postponed_names = {fit_name(f"{self._tables.heads_name}_{column}") for column in postponed}
        async with self._pool.connection() as connection:
            present = await present_indexes(connection, self._tables)
            finds_stale = await self._needs_stale_index(connection, postponed)
        definitions = index_definitions(self._spec, self._tables, finds_stale=finds_stale)
        if not self._obsolete_indexes(present, definitions) and definitions.keys() <= present.keys() | postponed_names:
            return True
        try:
            async with self._pool.dedicated_connection() as guard, guard.transaction():
                if not await guard.fetchval(
                    "SELECT pg_try_advisory_xact_lock($1)", key_of(f"{self._tables.heads}:index")
                ):
                    return False
                # Ends the portal of the statement before, whose snapshot the build would wait for, and that for ever.
                await guard.execute("SELECT 1")
                async with self._pool.dedicated_connection() as builder:
                    task = asyncio.ensure_future(self._match_indexes(builder, definitions, postponed_names))
                    try:
                        # Or a timeout of idle transactions would end the one that keeps other nodes out.
                        while not (await asyncio.wait([task], timeout=_KEEP_ALIVE))[0]:
                            await guard.execute("SELECT 1")
                        await task
                    finally:
                        task.cancel()
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(f"PostgreSQL refuses: {error}", argument="postgres_url") from error
        return True

    async def has_stale(self) -> bool:
        return await self._refresher.has_stale()

    async def refresh(self) -> bool:
        found = await self._refresher.refresh()
        if not self._refresher.needs_index:
            return found
        # Columns of other versions came after the start of this process.
        await self.index({progress.column for progress in await self.progress()})
        return await self._refresher.refresh()

    async def restart_newer(self) -> None:
        async with self._pool.connection() as connection:
            await restart_newer(connection, self._spec, self._tables)

    async def _needs_stale_index(self, connection: Any, postponed: Collection[str]) -> bool:
        if {field.column for field in self._spec.index_fields} <= set(postponed):
            return False  # while all columns are empty, nearly all rows would be in this index
        if self._tables.schema_version > 1 or self._spec.upgrader.newer_versions:
            return True
        return bool(await connection.fetchval(f"SELECT {self._tables.index_states.has_other_versions}"))

    async def _match_columns(self, connection: Any, *, last: bool) -> None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(self._tables))
            try:
                await match_columns(connection, self._spec, self._tables)
            except asyncpg.LockNotAvailableError as error:
                if last:
                    raise
                raise _LockTimeout from error

    async def _fill(self, connection: Any, fields: Sequence[IndexField], rows: int) -> None:
        tables, states = self._tables, self._tables.index_states
        pending_fields, after = least_filled_fields(await states.pending(connection), fields)
        if not pending_fields:
            return
        found = await connection.fetch(
            f"SELECT {STALE_ROW} FROM {tables.heads} WHERE resource_id > $1 ORDER BY resource_id LIMIT $2",
            after,
            rows,
        )
        stored_rows = [StaleRow._make(row) for row in found]
        places = {(row.resource_id, row.locator): row.schema_version for row in stored_rows if row.data is None}
        large = await read_large_values(self.stored_index, pending_fields, places, self._records.data)
        # Steps may be slow, and the event loop must not wait for them.
        inline = await asyncio.to_thread(self._inline_values, pending_fields, stored_rows)
        values = []
        for row in stored_rows:
            row_values = inline.get(row.resource_id) or large[row.resource_id, row.locator]
            if isinstance(row_values, Exception):
                if await self._has_changed(connection, row.resource_id, row.version):
                    continue
                raise row_values
            values.append((row.resource_id, row.version, *driver_values(pending_fields, row_values)))
        # From here on no writer is between. What was written since the rows were read has other versions.
        await connection.execute(self._store.take_lock)
        await self._update_rows(connection, pending_fields, values)
        position = stored_rows[-1].resource_id if len(found) == rows else None
        await connection.execute(states.advance, position, len(found), [field.column for field in pending_fields])

    def _inline_values(self, fields: Sequence[IndexField], rows: Sequence[StaleRow]) -> dict[str, tuple[Any, ...]]:
        return {
            row.resource_id: values_of(self.stored_index, fields, row.resource_id, row.data, row.schema_version)
            for row in rows
            if row.data is not None
        }

    async def _update_rows(
        self, connection: Any, fields: Sequence[IndexField], values: Sequence[tuple[Any, ...]]
    ) -> None:
        """Set the columns of rows that are as they were read; what was written since has them."""
        columns = {name: kind for field in fields for name, kind in columns_of_field(field).items()}
        # A list comes as the text of an array.
        pairs = [
            (quote(name), f"${number}::{'text::' * kind.endswith('[]')}{kind}")
            for number, (name, kind) in enumerate(columns.items(), 3)
        ]
        assignments = ", ".join(f"{name} = {value}" for name, value in pairs)
        # Rows that have these values already, most of them where it begins again, are not written.
        differs = " OR ".join(f"{name} IS DISTINCT FROM {value}" for name, value in pairs)
        if len(fields) == len(self._spec.index_fields):  # or the other columns would seem to be filled
            version, marker = self._tables.schema_version, quote(self._tables.marker)
            differs += f" OR ({stale_row_condition(version)})"
            assignments += f", {marker} = CASE WHEN schema_version <> {version} THEN version ELSE {marker} END"
        update = (
            f"UPDATE {self._tables.heads} SET {assignments} WHERE resource_id = $1 AND version = $2 AND ({differs})"
        )
        await connection.executemany(update, values)

    async def _has_changed(self, connection: Any, resource_id: str, version: int) -> bool:
        sql = f"SELECT version FROM {self._tables.heads} WHERE resource_id = $1"
        return bool(await connection.fetchval(sql, resource_id) != version)

    async def _match_indexes(
        self, connection: Any, definitions: Mapping[str, IndexDefinition], postponed_names: Collection[str]
    ) -> None:
        schema = quote(self._tables.schema)
        present = await present_indexes(connection, self._tables)
        for name in self._obsolete_indexes(present, definitions):
            await connection.execute(
                f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{quote(name)}", timeout=BUILD_TIMEOUT_S
            )
            present.pop(name)
        for name, index in definitions.items():
            if name in present or name in postponed_names:
                continue
            logger.info("%s: building the index %s", self._spec.name, name)
            await connection.execute(index.create(concurrently=True), timeout=BUILD_TIMEOUT_S)
            await connection.execute(index.comment(self._tables.schema))

    def _obsolete_indexes(
        self, present: Mapping[str, str | None], definitions: Mapping[str, IndexDefinition]
    ) -> list[str]:
        """Return the names of the project's indexes that have another definition, or that a crash left unfinished."""
        statements = {name: index.create() for name, index in definitions.items()}
        return [
            name
            for name, statement in present.items()
            if (statement is None and name in statements)
            or (statement is not None and statements.get(name) != statement and self._is_own(statement))
        ]

    def _is_own(self, statement: str) -> bool:
        """Return True if an index has no columns of other schema versions, whose processes may still run."""
        target = statement.partition(f" ON {self._tables.heads} ")[2]
        return version_in_target(target) in (None, self._tables.schema_version)


async def match_columns(connection: Any, spec: ModelSpec[Any], tables: PostgresTables) -> None:
    """Add the missing index columns, empty, in the open transaction, and begin to fill what is not of the model.

    Columns of another type are replaced. Those that were there before states were kept are filled.

    Raises:
        asyncpg.LockNotAvailableError: others read for too long.
    """
    fields = tables.index_states
    predates_states = not await connection.fetchval("SELECT to_regclass($1)::text", fields.table)
    if predates_states:
        await connection.execute(fields.create)
    await drop_retired_versions(connection, tables, _LOCK_WAIT)
    existing = await _existing_columns(connection, tables)
    states = await fields.states(connection)
    stale = [field for field in spec.index_fields if not fields.is_current(states.get(field.column), field)]
    missing = {
        field.column: [
            name for name, kind in columns_of_field(field).items() if existing.get(name) != _without_zone(kind)
        ]
        for field in spec.index_fields
    }
    fields_to_begin = [field for field in spec.index_fields if field in stale or missing[field.column]]
    if spec.index_fields and tables.marker not in existing:
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        await connection.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quote(tables.marker)} bigint")
        await connection.execute("SET LOCAL lock_timeout = 0")
    if not fields_to_begin:
        return
    # Before the lock, which is held to the end of the transaction.
    total = await connection.fetchval(f"SELECT count(*) FROM {tables.heads}", timeout=BUILD_TIMEOUT_S)
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
    for field in fields_to_begin:
        is_filled = not total or (predates_states and not missing[field.column])
        after = None if is_filled else ""
        await connection.execute(fields.begin, field.column, signature(field), after, total)
        for name in missing[field.column]:
            kind = columns_of_field(field)[name]
            collation = ' COLLATE "C"' if kind in ("text", "text[]") else ""
            if name in existing:
                await connection.execute(f"ALTER TABLE {tables.heads} DROP COLUMN {quote(name)}")
            await connection.execute(f"ALTER TABLE {tables.heads} ADD COLUMN {quote(name)} {kind}{collation}")
    await connection.execute("SET LOCAL lock_timeout = 0")


async def _existing_columns(connection: Any, tables: PostgresTables) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        tables.heads,
    )
    return {name: kind.replace(" with time zone", "") for name, kind in rows}


def _without_zone(kind: str) -> str:
    return kind.replace("timestamptz", "timestamp")


class _LockTimeout(Exception):
    """Somebody reads for longer than others are to wait."""
