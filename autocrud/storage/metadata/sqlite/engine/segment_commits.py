"""Commits to segments: one hop to the thread of the writer, under the lock of SQLite and the lock of the log."""

import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from sqlite3 import Connection

from autocrud.errors import AutoCRUDError
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.segments.log import SegmentLog
from autocrud.storage.commit_log.segments.segments import Segments
from autocrud.storage.metadata.sqlite.connection import begin
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.staging import StagedBatch, stage_batch
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail
from autocrud.storage.ports.transactions import Transaction

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # between two looks for entries of dead processes
_ROUND_GROUPS = 8  # groups of entries that one transaction of a replay applies


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Pause the search for reference cycles. A replay makes many objects and no cycles, and took 15 % longer."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


class SegmentCommits(CommitPath):
    """Commits to segments, and success is sent only after SQLite's COMMIT. So reads never look at the log.

    An entry whose process died before SQLite's COMMIT was never acknowledged. The next writer, the next start,
    or a look each second applies the entry. The order of the two locks is always SQLite first, then the log.

    Args:
        folder: folder of the log.
    """

    def __init__(self, file: StoreFile, models: Models, replayer: LogReplayer, folder: Path) -> None:
        self._file = file
        self._models = models
        self._replayer = replayer
        self._folder = folder
        self._segments: Segments | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, store_id: str) -> None:
        segments = self._segments = Segments(self._folder, store_id)
        await asyncio.to_thread(segments.create)
        self.log = SegmentLog(segments, asyncio.to_thread)
        self._task = asyncio.create_task(self._watch(), name="applying entries of dead processes")

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._segments is not None:
            await asyncio.to_thread(self._segments.close)

    async def check_tail(self) -> None:
        tail = await self._file.short_reader.run(read_tail)
        await asyncio.to_thread(self._open_segments.verify, tail)

    async def commit(self, batch: Sequence[Transaction]) -> StagedBatch:
        return await self._file.writer.run(partial(self._commit, batch))

    async def catch_up(self, *, announce: bool = False) -> None:
        checker, is_behind = await self._file.writer.run(partial(self._catch_up, None))
        while is_behind:
            if announce:
                logger.info("%s: replayed the log up to entry %d", self._file.path, checker.tail.sequence)
            checker, is_behind = await self._file.writer.run(partial(self._catch_up, checker))
        self._replayer.report()

    async def refresh(self) -> None:
        tail = await self._file.short_reader.run(read_tail)
        if await asyncio.to_thread(self._open_segments.is_behind, tail):
            # Or a process has appended the entry right now, and commits while this one waits for its lock.
            async with self._file.lock:
                await self.catch_up()

    def _commit(self, batch: Sequence[Transaction], db: Connection) -> StagedBatch:
        segments = self._open_segments
        begin(db)
        try:
            with segments.lock():
                has_caught_up = self._apply_rest(db)
                staged = stage_batch(db, self._models, batch, read_tail(db), segments.layout)
                if staged.entry is not None:
                    segments.append(staged.entry)
                if staged.entry is not None or has_caught_up:
                    db.commit()
                else:
                    db.rollback()
            return staged
        except BaseException:
            self._roll_back(db)
            raise

    def _apply_rest(self, db: Connection) -> bool:
        """Apply the entries of dead processes. Return True if there were any."""
        checker = ChainChecker(read_tail(db))
        start = checker.tail
        for entries in self._open_segments.catch_up(start):
            self._replayer.apply(db, entries, checker)
        if checker.tail == start:
            return False
        self._replayer.finish(db, checker)
        return True

    def _catch_up(self, checker: ChainChecker | None, db: Connection) -> tuple[ChainChecker, bool]:
        """Apply entries in one transaction. Return True if there may be more.

        Both locks are released between two rounds. A round does not end while a part of an entry does not verify.
        """
        begin(db)
        try:
            with self._open_segments.lock(), _paused_collector():
                tail = read_tail(db)
                if checker is None or checker.tail != tail:
                    checker = ChainChecker(tail)
                groups = self._open_segments.catch_up(tail)
                for entries in islice(groups, _ROUND_GROUPS):
                    self._replayer.apply(db, entries, checker)
                is_behind = checker.tail != tail
                while checker.describe_suspect() is not None and (following := next(groups, None)):
                    self._replayer.apply(db, following, checker)
                self._replayer.finish(db, checker)
                db.commit()
            return checker, is_behind
        except BaseException:
            self._roll_back(db)
            raise

    def _roll_back(self, db: Connection) -> None:
        db.rollback()
        self._models.forget_others()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.refresh()
            except AutoCRUDError as error:
                logger.warning("%s does not follow its log, and will catch up: %s", self._file.path, error)

    @property
    def _open_segments(self) -> Segments:
        assert self._segments is not None
        return self._segments
