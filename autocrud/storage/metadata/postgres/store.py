"""Metadata store of one model in PostgreSQL."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from autocrud.query.aggregation import Aggregation, GroupRow, overflow_error
from autocrud.query.conditions import Query
from autocrud.resource import timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.index_backfill.runner import IndexBackfill
from autocrud.storage.metadata.postgres.commits.constraint_backfill import ConstraintBackfill
from autocrud.storage.metadata.postgres.connection import ConnectionLost
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.postgres.index_migration import PostgresBackfillEngine
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.point_in_time import search_past
from autocrud.storage.metadata.postgres.schema import prepare
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.snapshot_scan import snapshot_scan
from autocrud.storage.metadata.postgres.tables import columns_of, head_of
from autocrud.storage.metadata.sql.query_slots import is_expensive, is_expensive_count
from autocrud.storage.metadata.sql.revisions import revision_of
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.query_limit import query_seconds
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Revision,
    RevisionSpan,
    ScanItem,
)

Erase = Callable[..., Awaitable[None]]


class PostgresMetaStore(MetaStore):
    """Heads and commits of one model in PostgreSQL. Its store commits the writes."""

    def __init__(self, spec: ModelSpec[Any], store: SharedStore, records: RecordReader, erase: Erase) -> None:
        self._spec = spec
        self._store = store
        self._pool = store.pool
        self._records = records
        self._erase = erase
        self._tables = store.tables_of(spec)
        self.constraints = ConstraintBackfill(spec, store, self._tables, records)
        self._engine = PostgresBackfillEngine(spec, store, self._tables, records)
        self._backfill = IndexBackfill(spec, self._engine)
        self._gets: GroupCommit[str, Head | None] = GroupCommit(self._get)

    async def open(self) -> None:
        async with self._pool.connection() as connection:
            self._engine.is_rebuilt = await prepare(connection, self._spec, self._tables, self._store, self._records)
        self._store.models[self._spec.folder] = self._tables
        await self._backfill.open()
        await self.constraints.fill()

    async def close(self) -> None:
        await self._backfill.close()
        await self._gets.drain()

    async def get(self, resource_id: str, current: bool) -> Head | None:
        return await self._gets.submit(resource_id)

    async def search(self, query: Query) -> list[Head]:
        if query.at is not None:
            return await self._search_past(query)
        self._backfill.check(query)
        found: list[Head] = []
        async with self._pool.query_slot(expensive=is_expensive(query)):
            for statement in self._tables.searches(query):
                sql, values = statement(query.limit + 1 - len(found))
                found += [head_of(row) for row in await self._pool.fetch(sql, *values, seconds=query_seconds.get())]
                if len(found) > query.limit:
                    break
        return found

    async def count(self, query: Query) -> int:
        self._backfill.check(query)
        sql, values = self._tables.count(query)
        async with self._pool.query_slot(expensive=is_expensive_count(query)):
            return int((await self._pool.fetch(sql, *values, seconds=query_seconds.get()))[0][0])

    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        self._backfill.check(query)
        return snapshot_scan(self._pool, self._tables, query, history)

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        self._backfill.require(aggregation.fields)
        sql, compiler = self._tables.aggregate(aggregation)
        try:
            async with self._pool.query_slot(expensive=True):
                rows = await self._pool.fetch(sql, *compiler.values, seconds=query_seconds.get())
        except asyncpg.NumericValueOutOfRangeError as error:
            raise overflow_error() from error
        return [compiler.group(aggregation, row) for row in rows]

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        last = 2**62 if before is None else before
        rows = await self._pool.fetch(self._tables.history.commits_of, resource_id, last, limit)
        return [commit_of_row(row) for row in rows]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        rows = await self._pool.fetch(self._tables.history.commit_at, resource_id, time)
        return commit_of_row(rows[0]) if rows else None

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        sql, values = self._tables.history.revisions(resource_id, span)
        return [revision_of(row) for row in await self._pool.fetch(sql, *values)]

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        sql, values = self._tables.history.revision(resource_id, number, version)
        rows = await self._pool.fetch(sql, *values)
        return revision_of(rows[0]) if rows else None

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        rows = await self._pool.fetch(self._tables.side_tables.version_of_blob, resource_id, file_id)
        version: int | None = rows[0][0]
        return version

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        rows = await self._pool.fetch(self._tables.side_tables.blobs_of, resource_id, version)
        return [file_id for (file_id,) in rows]

    async def blob(self, file_id: str) -> Blob | None:
        rows = await self._pool.fetch(self._tables.side_tables.blob, file_id)
        return Blob(*rows[0]) if rows else None

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        rows = await self._pool.fetch(self._tables.history.expired_revisions, before, after, limit)
        return [resource_id for (resource_id,) in rows]

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        place = ("", "") if after is None else (after.resource_id, after.time)
        rows = await self._pool.fetch(self._store.tables.pending_deletions, self._spec.folder, *place, limit)
        return [OnDeleteTask(*row) for row in rows]

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        rows = [(self._spec.folder, item.resource_id, item.time) for item in done]
        async with self._pool.connection() as connection:
            if rows:
                await connection.execute(self._store.tables.complete, *columns_of(rows))

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._backfill.run()

    async def index_other_versions(self) -> None:
        await self._backfill.index_other_versions()
        if not self.constraints.is_complete:
            await self.constraints.fill()

    async def vacuum(self) -> None:
        await self._erase(deferred=True)
        async with self._pool.connection() as connection:
            now = timestamp(datetime.now(UTC))
            await connection.execute(self._store.tables.drop_expired_keys, self._spec.folder, now)
        await self._backfill.resume()

    async def read(self, locator: str) -> bytes:
        return await self._records.data(locator)

    async def _search_past(self, query: Query) -> list[Head]:
        async with self._pool.query_slot(expensive=is_expensive(query)):
            try:
                async with self._pool.connection() as connection:
                    return await search_past(connection, self._tables.states, query)
            except ConnectionLost:
                async with self._pool.connection() as connection:
                    return await search_past(connection, self._tables.states, query)

    async def _get(self, resource_ids: Sequence[str]) -> list[Head | None]:
        """Reads by id that arrived together, in one statement."""
        heads = {row[0]: head_of(row) for row in await self._pool.fetch(self._tables.get, list(set(resource_ids)))}
        return [heads.get(resource_id) for resource_id in resource_ids]
