"""Metadata store in a SQLite file, which is an index of the log: the log is the truth (invariants 2 and 6)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from sqlite3 import Connection
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from autocrud.errors import AutoCRUDError, DataCorrupted, StorageUnavailable
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.commit_log.log import Entry, Log, SlotTaken, Tail
from autocrud.storage.commit_log.record_codec import data_span, encode_record
from autocrud.storage.index_backfill.runner import IndexBackfill
from autocrud.storage.metadata.sqlite.batch_apply import apply_all
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, begin, in_transaction
from autocrud.storage.metadata.sqlite.index_migration import SqliteBackfillEngine
from autocrud.storage.metadata.sqlite.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.snapshot_scan import snapshot_scan
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.metadata import CommittingMetaStore
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    Item,
    OnDeleteTask,
    Outcome,
    Revision,
    RevisionSpan,
    ScanItem,
    Write,
    abort_unless_all_accepted,
)

if TYPE_CHECKING:  # it needs a library that a disk does not
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots

R = TypeVar("R")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _StagedBatch:
    """A batch applied in an open transaction, behind the log entry `tail`.

    `entry` is what will commit it; None where all of it was refused, and the transaction is rolled back.
    """

    tail: Tail
    outcomes: list[Outcome]
    entry: Entry | None
    purges: bool


class SqliteMetaStore(CommittingMetaStore):
    """Heads and commits of one model in SQLite, behind the model's log.

    Processes that share the file are ordered by SQLite's write lock: each holds it from reading the log's tail until
    its own entry is applied, so that only a crash leaves an entry that is not.

    Args:
        path: tells, each time that the store opens, where the SQLite file is.
        inline_limit: bytes; larger data is read from the log.
        snapshots: of the file, where its folder may be lost, and is not shared.
        max_staleness: seconds that a read may be behind the log.
        readers: connections that reads are spread over.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        path: Callable[[], Path],
        log: Log,
        *,
        inline_limit: int,
        snapshots: "Snapshots | None" = None,
        max_staleness: float = 0.0,
        readers: int = 2,
    ) -> None:
        self._tables = SqliteTables(spec, inline_limit)
        self._history = self._tables.history
        self._log = log
        self._path = path
        self._writer = SqliteConnection()
        self._readers = [SqliteConnection(read_only=True) for _ in range(readers)]
        self._lock = asyncio.Lock()
        engine = SqliteBackfillEngine(spec, self._tables, self._writer, self._readers[-1], self._lock, log.data)
        self._backfill = IndexBackfill(spec, engine)
        self._replayer = LogReplayer(spec, self._tables, log, self._writer, engine.stored_index, snapshots)
        self._snapshots = snapshots
        self._max_staleness = max_staleness
        self._checked_at = -inf
        self._freshness: GroupCommit[None, None] = GroupCommit(self._check_freshness)
        self._gets: GroupCommit[tuple[str, bool], Head | None] = GroupCommit(self._get)

    async def open(self) -> None:
        path = self._path()
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        if self._snapshots is not None:
            await self._snapshots.restore(path)
        await self._writer.open(path)
        try:
            async with self._lock:
                await self._replayer.prepare(path)
            for reader in self._readers:
                await reader.open(path)
            await self._backfill.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._backfill.close()
        await self._gets.drain()
        await self._freshness.drain()
        if self._snapshots is not None:
            await self._snapshots.drain()
        for connection in (*self._readers, self._writer):
            await connection.close()

    async def commit(self, batch: Sequence[Item], atomic: bool = False) -> list[Outcome]:
        async with self._lock:
            while True:
                staged = await self._writer.run(lambda db: self._stage(db, batch, atomic))
                if staged.entry is None:
                    # Refused, if what it was judged by is current. An accepted write is judged by the log itself.
                    if await self._log.read(staged.tail.sequence + 1) is None:
                        return staged.outcomes
                    await self._replayer.catch_up()
                    continue
                started_at = monotonic()
                try:
                    await self._log.append(staged.entry)
                except SlotTaken:
                    await self._writer.run(Connection.rollback)
                    await self._replayer.catch_up()
                except BaseException:
                    await self._writer.run(Connection.rollback)
                    raise
                else:
                    self._checked_at = started_at
                    return await self._finish_commit(batch, staged, staged.entry)

    async def get(self, resource_id: str, current: bool) -> Head | None:
        return await self._gets.submit((resource_id, current))

    async def search(self, query: Query) -> list[Head]:
        self._backfill.check(query)
        # Not on the connection of `get`: a long search must not hold up the short reads.
        return await self._read(self._readers[-1], lambda db: self._tables.search(db, query))

    async def count(self, query: Query) -> int:
        self._backfill.check(query)
        return await self._read(self._readers[-1], lambda db: self._tables.count(db, query))

    async def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        self._backfill.check(query)
        await self._freshness.submit(None)
        self._replayer.open_scans += 1
        pages: Any = snapshot_scan(self._path(), self._tables, query, history)
        try:
            async with aclosing(pages):
                async for page in pages:
                    yield page
        finally:
            self._replayer.open_scans -= 1
            await self._erase_after_scan()

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        self._backfill.require(aggregation.fields)
        return await self._read(self._readers[-1], lambda db: self._tables.aggregate(db, aggregation))

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        return await self._read(self._readers[-1], lambda db: self._history.commits_of(db, resource_id, before, limit))

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        return await self._read(self._readers[-1], lambda db: self._history.commit_at(db, resource_id, time))

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        return await self._read(self._readers[-1], lambda db: self._history.revisions(db, resource_id, span))

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        return await self._read(self._readers[0], lambda db: self._history.revision(db, resource_id, number, version))

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        side_tables = self._tables.side_tables
        return await self._read(self._readers[0], lambda db: side_tables.version_of_blob(db, resource_id, file_id))

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        side_tables = self._tables.side_tables
        return await self._read(self._readers[0], lambda db: side_tables.blobs_of(db, resource_id, version))

    async def blob(self, file_id: str) -> Blob | None:
        # As of now: what a stale read misses, a write would be refused for.
        side_tables = self._tables.side_tables
        return await self._read(self._readers[0], lambda db: side_tables.blob(db, file_id), current=True)

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        return await self._read(self._readers[-1], lambda db: self._history.expired_revisions(db, before, after, limit))

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        read = partial(self._tables.side_tables.pending_deletions, after=after, limit=limit)
        return await self._read(self._readers[-1], read, current=True)

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        async with self._lock:
            await self._writer.run(partial(in_transaction, partial(self._tables.side_tables.complete, done=done)))

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._backfill.run()

    async def index_other_versions(self) -> None:
        await self._backfill.index_other_versions()

    async def vacuum(self) -> None:
        async with self._lock:
            await self._replayer.erase(deferred=True)
            # Within the lock, too: between two of a batch's steps its transaction is open.
            await self._writer.run(partial(in_transaction, self._tables.side_tables.drop_expired_keys))
        await self._backfill.resume()

    async def read(self, locator: str) -> bytes:
        return await self._log.data(locator)

    async def _get(self, requests: Sequence[tuple[str, bool]]) -> list[Head | None]:
        """Reads by id that arrived together, in one statement."""
        resource_ids, current = [name for name, _ in requests], any(current for _, current in requests)
        heads = await self._read(self._readers[0], lambda db: self._tables.get(db, resource_ids), current=current)
        return [heads.get(resource_id) for resource_id in resource_ids]

    def _stage(self, db: Connection, batch: Sequence[Item], atomic: bool) -> _StagedBatch:
        """Apply what can be applied of a batch, and lay out the entry that would commit it."""
        begin(db)
        try:
            tail = self._tables.tail(db)
            outcomes = apply_all(self._tables, db, batch)
            outcomes = abort_unless_all_accepted(outcomes) if atomic else outcomes
            accepted = [write for write, refused in zip(batch, outcomes, strict=True) if refused is None]
            if not accepted:
                db.rollback()
                return _StagedBatch(tail, outcomes, None, False)
            records = [encode_record(item) for item in accepted]
            data = [data_span(item, len(record))[0] for item, record in zip(accepted, records, strict=True)]
            entry = self._log.entry(tail, records, data)
            self._replayer.record_writes(db, entry, accepted)
            return _StagedBatch(tail, outcomes, entry, any(map(_is_purge, accepted)))
        except BaseException:
            db.rollback()
            raise

    async def _finish_commit(self, batch: Sequence[Item], staged: _StagedBatch, entry: Entry) -> list[Outcome]:
        """The entry is in the log, so the writes are committed, whatever becomes of SQLite."""
        try:
            await self._writer.run(Connection.commit)
            self._replayer.tail = entry.tail
            if self._snapshots is not None:
                self._snapshots.consider(self._path(), entry.tail.sequence)
        except (StorageUnavailable, DataCorrupted) as error:
            logger.warning("%s does not follow its log, and will catch up: %s", self._path(), error)
            await self._writer.run(Connection.rollback)
            return staged.outcomes
        if not staged.purges:
            return staged.outcomes
        try:
            if not await self._replayer.erase():
                raise StorageUnavailable("An export reads what was there before, and when it ends, nothing will.")
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return [
                StorageUnavailable(message) if _is_purge(item) and refused is None else refused
                for item, refused in zip(batch, staged.outcomes, strict=True)
            ]
        return staged.outcomes

    async def _erase_after_scan(self) -> None:
        """Erase the data that was purged while a snapshot scan read it."""
        try:
            async with self._lock:
                await self._replayer.erase()
        except AutoCRUDError as error:
            logger.warning("%s: what was purged is not erased yet: %s", self._path(), error)

    async def _read(self, reader: SqliteConnection, work: Callable[[Connection], R], *, current: bool = False) -> R:
        """Read what is no older than the log was when the read began, or as old as the store is allowed to be."""
        if not current and self._max_staleness and monotonic() - self._checked_at <= self._max_staleness:
            return await reader.run(work)

        def read(db: Connection) -> tuple[R] | None:
            """In one hop, where a look at the log costs no more than a system call, and it has not moved on."""
            return (work(db),) if self._log.blocking_exists(self._replayer.tail.sequence + 1) is False else None

        if self._log.has_blocking_exists:
            found = await reader.run(read)
            if found is not None:
                return found[0]
        await self._freshness.submit(None)
        return await reader.run(work)

    async def _check_freshness(self, waiting: Sequence[None]) -> list[None]:
        """Apply whatever the log already holds; one look serves all the reads that wait for it."""
        started_at = monotonic()
        # Processes that share the file have brought it further than this one knows.
        tail = self._replayer.tail = await self._readers[0].run(self._tables.tail)
        if await self._log.read(tail.sequence + 1) is not None:
            # It may be this process's own, on its way into SQLite, and then there may be more behind it.
            async with self._lock:
                await self._replayer.catch_up()
        self._checked_at = started_at
        return [None] * len(waiting)


def _is_purge(item: Item) -> bool:
    return isinstance(item, Write) and item.kind is CommitKind.purge
