"""Metadata store of one model in the SQLite file of its store: the reader, and the backfill of its index columns."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from autocrud.errors import AutoCRUDError
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.runner import IndexBackfill
from autocrud.storage.metadata.sql.query_slots import is_expensive, is_expensive_count
from autocrud.storage.metadata.sqlite.connection import with_limit
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.erasure import Eraser
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.model_attachment import ModelAttachment
from autocrud.storage.metadata.sqlite.engine.reads import FreshReads
from autocrud.storage.metadata.sqlite.index_migration import SqliteBackfillEngine
from autocrud.storage.metadata.sqlite.snapshot_scan import snapshot_scan
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import StorageNotOpen
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

R = TypeVar("R")
logger = logging.getLogger(__name__)


class SqliteMetaStore(MetaStore):
    """Heads and commits of one model in the SQLite file of its store."""

    def __init__(
        self,
        spec: ModelSpec[Any],
        file: StoreFile,
        commits: CommitPath,
        reads: FreshReads,
        eraser: Eraser,
        attachment: ModelAttachment,
    ) -> None:
        self._spec = spec
        self._file = file
        self._commits = commits
        self._reads = reads
        self._eraser = eraser
        self._attachment = attachment
        self._open_tables: SqliteTables | None = None
        self._open_backfill: IndexBackfill | None = None

    async def open(self) -> None:
        tables = await self._attachment.attach(self._spec)
        engine = SqliteBackfillEngine(self._spec, tables, self._file, self._commits.log.read)
        backfill = IndexBackfill(self._spec, engine)
        self._open_tables, self._open_backfill = tables, backfill
        try:
            await backfill.open()
            if self._attachment.was_replayed(tables.folder):
                # The log was replayed before this process knew the model.
                async for _ in backfill.run():
                    pass
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        backfill, self._open_backfill = self._open_backfill, None
        if backfill is not None:
            await backfill.close()
            self._attachment.detach(self._spec)
        self._open_tables = None

    async def get(self, resource_id: str, current: bool) -> Head | None:
        return await self._reads.get(self._tables, resource_id, current)

    async def search(self, query: Query) -> list[Head]:
        self._backfill.check(query)
        return await self._query(lambda db: self._tables.search(db, query), expensive=is_expensive(query))

    async def count(self, query: Query) -> int:
        self._backfill.check(query)
        return await self._query(lambda db: self._tables.count(db, query), expensive=is_expensive_count(query))

    async def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        self._backfill.check(query)
        await self._reads.refresh()
        self._eraser.open_scans += 1
        pages: Any = snapshot_scan(self._file.path, self._tables, query, history)
        try:
            async with self._file.scan_slots.hold(), aclosing(pages):
                async for page in pages:
                    yield page
        finally:
            self._eraser.open_scans -= 1
            await self._erase_after_scan()

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        self._backfill.require(aggregation.fields)
        return await self._query(lambda db: self._tables.aggregate(db, aggregation), expensive=True)

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        return await self._read(lambda db: self._tables.history.commits_of(db, resource_id, before, limit))

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        return await self._read(lambda db: self._tables.history.commit_at(db, resource_id, time))

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        return await self._read(lambda db: self._tables.history.revisions(db, resource_id, span))

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        return await self._read(lambda db: self._tables.history.revision(db, resource_id, number, version), short=True)

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        side_tables = self._tables.side_tables
        return await self._read(lambda db: side_tables.version_of_blob(db, resource_id, file_id), short=True)

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        side_tables = self._tables.side_tables
        return await self._read(lambda db: side_tables.blobs_of(db, resource_id, version), short=True)

    async def blob(self, file_id: str) -> Blob | None:
        # As of now: what a stale read misses, a write would be refused for.
        side_tables = self._tables.side_tables
        return await self._read(lambda db: side_tables.blob(db, file_id), short=True, current=True)

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        return await self._read(lambda db: self._tables.history.expired_revisions(db, before, after, limit))

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        read = partial(self._tables.side_tables.pending_deletions, after=after, limit=limit)
        return await self._read(read, current=True)

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        await self._file.write(partial(self._tables.side_tables.complete, done=done))

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._backfill.run()

    async def index_other_versions(self) -> None:
        await self._attachment.fill_references()
        await self._backfill.index_other_versions()

    async def vacuum(self) -> None:
        await self._reads.refresh()
        async with self._file.lock:
            await self._eraser.erase(deferred=True)
        await self._file.write(self._tables.side_tables.drop_expired_keys)
        await self._attachment.fill_facts(self._tables.folder)
        await self._backfill.resume()

    async def read(self, locator: str) -> bytes:
        return await self._commits.log.read(locator)

    @property
    def _tables(self) -> SqliteTables:
        if self._open_tables is None:
            raise StorageNotOpen
        return self._open_tables

    @property
    def _backfill(self) -> IndexBackfill:
        if self._open_backfill is None:
            raise StorageNotOpen
        return self._open_backfill

    async def _erase_after_scan(self) -> None:
        """Erase the data that was purged while a snapshot scan read it."""
        try:
            async with self._file.lock:
                await self._eraser.erase()
        except AutoCRUDError as error:
            logger.warning("%s: what was purged is not erased yet: %s", self._file.path, error)

    async def _query(self, work: Callable[[Connection], R], *, expensive: bool) -> R:
        """Run a query, with the time limit of the current task."""
        return await self._reads.run(with_limit(work, query_seconds.get()), expensive=expensive)

    async def _read(self, work: Callable[[Connection], R], *, short: bool = False, current: bool = False) -> R:
        """Run a function that reads: on the connection for short reads, or on a connection for queries."""
        return await self._reads.run(work, reader=self._file.short_reader if short else None, current=current)
