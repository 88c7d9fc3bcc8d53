"""Commits to a log of objects: the conditional PUT is the commit point, and a read looks at the log first."""

import logging
from collections.abc import Sequence
from functools import partial
from math import inf
from sqlite3 import Connection
from time import monotonic

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.port import SlotTaken
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.metadata.sqlite.connection import begin
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.staging import StagedBatch, stage_batch
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.transactions import Transaction

logger = logging.getLogger(__name__)

_REPLAY_ENTRIES = 500  # of one transaction, at least


class ObjectCommits(CommitPath):
    """Commits to objects of a bucket. Many nodes append, and each has a SQLite file of its own.

    Args:
        max_staleness: seconds that a read may be behind the log.
    """

    def __init__(
        self, file: StoreFile, models: Models, replayer: LogReplayer, objects: ObjectStore, max_staleness: float
    ) -> None:
        self._file = file
        self._models = models
        self._replayer = replayer
        self._objects = objects
        self._max_staleness = max_staleness
        self._checked_at = -inf  # all entries that were in the log at this time are applied
        self._log = self.log = ObjectLog(objects, None)

    async def open(self, store_id: str) -> None:
        self._log = self.log = ObjectLog(self._objects, store_id)
        self._checked_at = -inf

    async def close(self) -> None:
        return

    async def check_tail(self) -> None:
        tail = await self._file.short_reader.run(read_tail)
        if tail != EMPTY_TAIL:
            await self._log.check_entry(tail.sequence, tail.header_hash)

    async def commit(self, batch: Sequence[Transaction]) -> StagedBatch:
        while True:
            tail, staged = await self._file.writer.run(partial(self._stage, batch))
            if staged.entry is None:
                # Refused, if what it was judged by is current. An accepted write is judged by the log itself.
                if await self._log.read_entry(tail.sequence + 1) is None:
                    return staged
                await self.catch_up()
                continue
            started_at = monotonic()
            try:
                await self._log.append(staged.entry)
            except SlotTaken:
                await self._roll_back()
                await self.catch_up()
            except BaseException:
                await self._roll_back()
                raise
            else:
                # A put that began later and won is a look: there was no entry in its place, and none behind it.
                self._checked_at = max(self._checked_at, started_at)
                await self._commit_file()
                return staged

    async def catch_up(self, *, announce: bool = False) -> None:
        writer = self._file.writer
        checker = ChainChecker(await writer.run(read_tail))
        applied = 0
        await writer.run(begin)
        try:
            async for entries in self._log.entries(checker.tail):
                await writer.run(lambda db, entries=entries: self._replayer.apply(db, entries, checker))  # type: ignore[misc]
                applied += len(entries)
                # A transaction does not end while a part of an entry does not verify.
                if applied >= _REPLAY_ENTRIES and checker.describe_suspect() is None:
                    await writer.run(Connection.commit)
                    await writer.run(begin)
                    applied = 0
                    if announce:
                        logger.info("%s: replayed the log up to entry %d", self._file.path, checker.tail.sequence)
            await writer.run(lambda db: self._replayer.finish(db, checker))
            await writer.run(Connection.commit)
        except BaseException:
            await self._roll_back()
            raise
        self._replayer.report()

    async def refresh(self) -> None:
        called_at = monotonic()
        while self._checked_at < called_at:
            started_at = monotonic()
            tail = await self._file.short_reader.run(read_tail)
            if await self._log.read_entry(tail.sequence + 1) is not None:
                async with self._file.lock:
                    # Applied meanwhile: it is this process's own, or another look was faster. There may be more
                    # behind it. The next look does not hold up commits.
                    if await self._file.short_reader.run(read_tail) != tail:
                        continue
                    await self.catch_up()
            self._checked_at = max(self._checked_at, started_at)

    def needs_look(self, *, current: bool) -> bool:
        return current or not self._max_staleness or monotonic() - self._checked_at > self._max_staleness

    def _stage(self, batch: Sequence[Transaction], db: Connection) -> tuple[Tail, StagedBatch]:
        begin(db)
        try:
            tail = read_tail(db)
            staged = stage_batch(db, self._models, batch, tail, self._log.place)
            if staged.entry is None:
                db.rollback()
            return tail, staged
        except BaseException:
            db.rollback()
            self._models.forget_others()
            raise

    async def _commit_file(self) -> None:
        """The entry is in the log, so the writes are committed, whatever becomes of SQLite."""
        try:
            await self._file.writer.run(Connection.commit)
        except (StorageUnavailable, DataCorrupted) as error:
            logger.warning("%s does not follow its log, and will catch up: %s", self._file.path, error)
            await self._roll_back()

    async def _roll_back(self) -> None:
        await self._file.writer.run(Connection.rollback)
        self._models.forget_others()
