"""Metadata in a SQLite file that follows a log: the file is an index, the log is the truth (invariants 2 and 6)."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from autocrud.errors import (
    AutoCRUDError,
    ConfigurationError,
    DataCorrupted,
    InvalidData,
    StorageUnavailable,
)
from autocrud.model import ModelSpec
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind
from autocrud.storage.base import Commit, Head, MetaStore, Outcome, Page, Write
from autocrud.storage.batcher import Batcher
from autocrud.storage.log import EMPTY, Entry, Log, SlotTaken, parse_locator
from autocrud.storage.meta.sqlite_indexes import fill_columns, match_indexes
from autocrud.storage.meta.sqlite_tables import SqliteTables
from autocrud.storage.meta.sqlite_thread import SqliteThread, begin, in_transaction
from autocrud.storage.records import data_span, decode_record, encode_record

R = TypeVar("R")

logger = logging.getLogger(__name__)

_REPLAY_ENTRIES = 500  # entries of one transaction


@dataclass(frozen=True, slots=True)
class _Staged:
    """A batch applied in an open transaction; `entry` is what will commit it, None where all of it was refused."""

    outcomes: list[Outcome]
    entry: Entry | None
    purges: bool


class SqliteMetaStore(MetaStore):
    """Heads and commits of one model in SQLite, behind the model's log.

    Processes that share the file are ordered by SQLite's write lock: each holds it from reading the log's tail until
    its own entry is applied, so that only a crash leaves an entry that is not.

    Args:
        path: the SQLite file.
        inline_limit: bytes; larger data is read from the log.
        readers: connections that reads are spread over.
    """

    def __init__(self, spec: ModelSpec[Any], path: Path, log: Log, *, inline_limit: int, readers: int = 2) -> None:
        self._spec = spec
        self._tables = SqliteTables(spec, inline_limit)
        self._log = log
        self._path = path
        self._writer = SqliteThread(path)
        self._readers = [SqliteThread(path, read_only=True) for _ in range(readers)]
        self._lock = asyncio.Lock()
        self._tail = EMPTY
        self._freshness: Batcher[None, None] = Batcher(self._check_freshness)
        self._gets: Batcher[str, Head | None] = Batcher(self._get)

    async def open(self) -> None:
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        await self._writer.open()
        try:
            async with self._lock:
                await self._prepare()
            for reader in self._readers:
                await reader.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._gets.drain()
        await self._freshness.drain()
        for thread in (*self._readers, self._writer):
            await thread.close()

    async def commit(self, batch: Sequence[Write]) -> list[Outcome]:
        async with self._lock:
            while True:
                staged = await self._writer.run(lambda db: self._stage(db, batch))
                if staged.entry is None:
                    return staged.outcomes
                try:
                    await self._log.append(staged.entry)
                except SlotTaken:
                    await self._writer.run(Connection.rollback)
                    await self._catch_up()
                except BaseException:
                    await self._writer.run(Connection.rollback)
                    raise
                else:
                    return await self._settle(batch, staged, staged.entry)

    async def get(self, resource_id: str) -> Head | None:
        return await self._gets.submit(resource_id)

    async def search(self, query: Query) -> Page:
        # Not on the connection of `get`: a long search must not hold up the short reads.
        heads = await self._fresh(self._readers[-1], lambda db: self._tables.search(db, query))
        more = len(heads) > query.limit
        return Page(heads[: query.limit], heads[query.limit - 1].position if more else None)

    async def count(self, query: Query) -> int:
        return await self._fresh(self._readers[-1], lambda db: self._tables.count(db, query))

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        return await self._fresh(self._readers[-1], lambda db: self._tables.history(db, resource_id, before, limit))

    async def read(self, locator: str) -> bytes:
        return await self._log.data(locator)

    async def _get(self, resource_ids: Sequence[str]) -> list[Head | None]:
        """Reads by id that arrived together, in one statement."""
        heads = await self._fresh(self._readers[0], lambda db: self._tables.get(db, resource_ids))
        return [heads.get(resource_id) for resource_id in resource_ids]

    def _stage(self, db: Connection, batch: Sequence[Write]) -> _Staged:
        """Apply what can be applied of a batch, and lay out the entry that would commit it."""
        begin(db)
        try:
            tail = self._tables.tail(db)
            outcomes = [self._tables.apply(db, write) for write in batch]
            accepted = [write for write, refused in zip(batch, outcomes, strict=True) if refused is None]
            if not accepted:
                db.rollback()
                return _Staged(outcomes, None, False)
            entry = self._log.entry(tail, [encode_record(write) for write in accepted])
            self._enter(db, entry, accepted)
            return _Staged(outcomes, entry, any(write.kind is CommitKind.purge for write in accepted))
        except BaseException:
            db.rollback()
            raise

    def _enter(self, db: Connection, entry: Entry, writes: Sequence[Write | None]) -> None:
        """Enter applied writes into the history, each with the place of its record in the entry."""
        for write, (offset, line) in zip(writes, entry.lines, strict=True):
            if write is None or line is None:
                continue
            start, size = data_span(write, len(line))
            locator = self._log.locator(entry, offset + start, size) if size else None
            self._tables.record(db, write, locator, f"{entry.tail.sequence}:{offset}:{len(line)}")
        self._tables.set_tail(db, entry.tail)

    async def _settle(self, batch: Sequence[Write], staged: _Staged, entry: Entry) -> list[Outcome]:
        """The entry is in the log, so the writes are committed, whatever becomes of SQLite."""
        try:
            await self._writer.run(Connection.commit)
            self._tail = entry.tail
        except (StorageUnavailable, DataCorrupted) as error:
            logger.warning("%s does not follow its log, and will catch up: %s", self._path, error)
            await self._writer.run(Connection.rollback)
            return staged.outcomes
        if not staged.purges:
            return staged.outcomes
        try:
            await self._erase()
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return [
                StorageUnavailable(message) if write.kind is CommitKind.purge and refused is None else refused
                for write, refused in zip(batch, staged.outcomes, strict=True)
            ]
        return staged.outcomes

    async def _fresh(self, reader: SqliteThread, work: Callable[[Connection], R]) -> R:
        """Read what is no older than the log was when the read began, in one hop where the log has not moved on."""

        def read(db: Connection) -> tuple[R] | None:
            return (work(db),) if self._log.blocking_exists(self._tail.sequence + 1) is False else None

        found = await reader.run(read)
        if found is not None:
            return found[0]
        await self._freshness.submit(None)
        return await reader.run(work)

    async def _check_freshness(self, waiting: Sequence[None]) -> list[None]:
        """Apply whatever the log already holds; one look serves all the reads that wait for it."""
        if await self._log.exists(self._tail.sequence + 1):
            self._tail = await self._readers[0].run(self._tables.tail)
            if await self._log.exists(self._tail.sequence + 1):
                async with self._lock:
                    # What was seen may have been this process's own entry, on its way into SQLite.
                    if await self._log.exists(self._tail.sequence + 1):
                        await self._catch_up()
        return [None] * len(waiting)

    async def _catch_up(self, *, announce: bool = False) -> None:
        """Apply the log's entries that SQLite has not. The caller holds the lock."""
        caught_up = False
        while not caught_up:
            await self._writer.run(begin)
            try:
                caught_up = await self._replay()
                await self._writer.run(Connection.commit)
            except BaseException:
                await self._writer.run(Connection.rollback)
                raise
            self._tail = await self._writer.run(self._tables.tail)
            if announce and not caught_up:
                logger.info("%s: replayed the log up to entry %d", self._spec.name, self._tail.sequence)
        await self._erase()

    async def _replay(self) -> bool:
        """Apply entries within the open transaction; says whether the log ended."""
        tail = await self._writer.run(self._tables.tail)
        for _ in range(_REPLAY_ENTRIES):
            entry = await self._log.read(tail.sequence + 1)
            if entry is None:
                return True
            if entry.previous != tail.nonce:
                raise DataCorrupted(f"{entry.key} does not follow entry {tail.sequence} that {self._path} has applied.")
            await self._writer.run(partial(self._apply_entry, entry))
            tail = entry.tail
        return False

    def _apply_entry(self, entry: Entry, db: Connection) -> None:
        try:
            writes = [None if line is None else decode_record(self._spec, line) for _, line in entry.lines]
        except InvalidData as error:
            raise ConfigurationError(f"{entry.key}: {error} {error.errors}") from error
        except (ValueError, LookupError) as error:
            raise DataCorrupted(f"{entry.key} holds a line that is not a record.") from error
        for write in writes:
            if write is not None and write.kind is CommitKind.purge:
                # Some or all of what it purged is blank by now, so there may be less of it, or nothing.
                self._tables.remove(db, write.meta.resource_id)
                continue
            refused = None if write is None else self._tables.apply(db, write)
            if refused is not None:
                raise DataCorrupted(f"{entry.key} does not fit what came before it: {refused}")
        self._enter(db, entry, writes)

    async def _erase(self) -> None:
        """Blank the records of what was purged, and leave no copy of them in SQLite's files."""
        if not await self._writer.run(self._tables.pending_erasures):
            return
        # Under the write lock: two processes that rewrite one entry must not undo each other's blanks.
        await self._writer.run(begin)
        try:
            records = await self._writer.run(self._tables.pending_erasures)
            spans = [parse_locator(record) for record in records]
            await self._log.erase([(int(sequence), offset, length) for sequence, offset, length in spans])
        finally:
            await self._writer.run(Connection.rollback)
        await self._writer.run(_truncate_wal)
        await self._writer.run(lambda db: self._tables.forget_erasures(db, records))

    async def _prepare(self) -> None:
        """Tables, then the log's missing entries, then the indexes: a rebuild must not meet a new unique index."""
        await self._writer.run(partial(in_transaction, self._tables.create_tables))
        await self._check_tail()
        await fill_columns(self._writer, self._spec, self._tables, self.read)
        await self._catch_up(announce=True)
        await self._writer.run(partial(in_transaction, partial(match_indexes, self._spec, self._tables)))

    async def _check_tail(self) -> None:
        tail = await self._writer.run(self._tables.tail)
        if tail == EMPTY:
            return
        entry = await self._log.read(tail.sequence)
        if entry is None or entry.tail != tail:
            raise DataCorrupted(
                f"{self._path} has applied entry {tail.sequence}, which its log does not hold. Put the log back; or, to"
                " take the log as it is, remove the SQLite file."
            )


def _truncate_wal(db: Connection) -> None:
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StorageUnavailable("A reader keeps SQLite's write-ahead log from being emptied.")
