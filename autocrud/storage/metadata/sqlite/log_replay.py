"""Replays the log into a SQLite file, and erases purged data from the log, the file and the snapshots."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.commit_log.locator import parse_locator
from autocrud.storage.commit_log.log import EMPTY, Entry, Log, Tail
from autocrud.storage.commit_log.record_codec import data_span, decode_record
from autocrud.storage.metadata.sqlite.batch_apply import HistoryEntry, record_all
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, begin, in_transaction, truncate_wal
from autocrud.storage.metadata.sqlite.history_tables import Erasure
from autocrud.storage.metadata.sqlite.index_migration import match_columns
from autocrud.storage.metadata.sqlite.index_tables import erase_deleted_words
from autocrud.storage.metadata.sqlite.point_in_time_backfill import fill_states
from autocrud.storage.metadata.sqlite.schema import create_tables
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.types import Item, Write

if TYPE_CHECKING:  # it needs a library that a disk does not
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots

logger = logging.getLogger(__name__)

_REPLAY_ENTRIES = 500  # of one transaction, at least


class LogReplayer:
    """Applies one log to one SQLite file. Callers of its coroutines hold the store's lock.

    Args:
        writer: the connection that writes, opened by the caller.
        snapshots: the copies of the file, from which purged data must be erased too.

    Attributes:
        tail: the last entry that the file is known to hold.
        open_scans: the number of this process's snapshot scans, for which SQLite retains erased pages.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        tables: SqliteTables,
        log: Log,
        writer: SqliteConnection,
        stored_index: StoredIndex,
        snapshots: "Snapshots | None",
    ) -> None:
        self._spec = spec
        self._tables = tables
        self._log = log
        self._path = Path()
        self._writer = writer
        self._snapshots = snapshots
        self._stored_index = stored_index
        self.tail = EMPTY
        self.open_scans = 0
        self._blanked_erasures: set[Erasure] = set()

    async def prepare(self, path: Path) -> None:
        """Bring the file, which the writer has open, to the model and to the log as they are now."""
        self._path = path
        # The indexes come later: a rebuild must not meet a new unique index.
        await self._writer.run(partial(in_transaction, partial(create_tables, self._spec, self._tables)))
        await self._check_tail()
        await self._writer.run(partial(in_transaction, partial(match_columns, self._spec, self._tables)))
        await fill_states(self._writer, self._spec, self._tables, self._stored_index, self._log.data)
        await self.catch_up(announce=True)

    async def catch_up(self, *, announce: bool = False) -> None:
        """Apply the log's entries that the file does not hold.

        Raises:
            DataCorrupted: they do not follow what it holds.
        """
        caught_up = False
        while not caught_up:
            await self._writer.run(begin)
            try:
                caught_up = await self._replay()
                await self._writer.run(Connection.commit)
            except BaseException:
                await self._writer.run(Connection.rollback)
                raise
            self.tail = await self._writer.run(self._tables.tail)
            if announce and not caught_up:
                logger.info("%s: replayed the log up to entry %d", self._spec.name, self.tail.sequence)
        self._stored_index.report()
        await self.erase()

    def record_writes(self, db: Connection, entry: Entry, items: Sequence[Item | None]) -> None:
        """Add the applied writes to the history, each with the place of its record in the entry."""
        history_entries: list[HistoryEntry] = []
        for item, (offset, line) in zip(items, entry.lines, strict=True):
            if item is None or line is None:
                continue
            start, size = data_span(item, len(line))
            locator = self._log.locator(entry, offset + start, size) if size else None
            history_entries.append((item, locator, f"{entry.tail.sequence}:{offset}:{len(line)}"))
        record_all(self._tables, db, history_entries)
        versions = {item.meta.schema_version for item in items if isinstance(item, Write) and item.revision is not None}
        self._tables.set_tail(db, entry.tail, versions)

    async def erase(self, *, deferred: bool = False) -> bool:
        """Erase purged data, and leave no copy of it in SQLite's files or in snapshots.

        While snapshot scans are open, the data is erased from the log alone, and elsewhere when they have ended.

        Args:
            deferred: erase pruned data too.

        Returns True if nothing is left to erase.
        """
        history = self._tables.history
        found = await self._writer.run(lambda db: history.pending_erasures(db, deferred))
        if not found or (self.open_scans and self._blanked_erasures.issuperset(found)):
            return not found
        # Under the write lock: two processes that rewrite one entry must not undo each other's blanks.
        await self._writer.run(begin)
        try:
            pending = await self._writer.run(lambda db: history.pending_erasures(db, deferred))
            await self._erase(pending)
        finally:
            await self._writer.run(Connection.rollback)
        self._blanked_erasures.update(pending)
        if self.open_scans:
            return False
        await self._writer.run(partial(in_transaction, erase_deleted_words))
        await self._writer.run(truncate_wal)
        if self._snapshots is not None and pending:
            await self._snapshots.supersede(self._path, max(erasure.purged for erasure in pending))
        await self._writer.run(lambda db: history.delete_erasures(db, pending))
        self._blanked_erasures.difference_update(pending)
        return True

    async def _erase(self, pending: Sequence[Erasure]) -> None:
        """Step by step: whatever a crash leaves is replayed to the same end."""
        for erasure in pending:
            if erasure.step == 1:
                await self._log.remove(types_key(erasure.place))
                await self._log.remove(erasure.place)
        for step in (2, 3):
            places = [parse_locator(erasure.place) for erasure in pending if erasure.step == step]
            await self._log.erase([(int(sequence), offset, length) for sequence, offset, length in places])

    async def _replay(self) -> bool:
        """Apply entries within the open transaction; says whether the log ended."""
        tail = await self._writer.run(self._tables.tail)
        first = tail.sequence
        async for entries in self._log.entries(first):
            await self._writer.run(partial(self._apply_entries, entries, tail))
            tail = entries[-1].tail
            if tail.sequence - first >= _REPLAY_ENTRIES:
                return False
        return True

    def _apply_entries(self, entries: Sequence[Entry], tail: Tail, db: Connection) -> None:
        for entry in entries:
            if entry.previous != tail.nonce:
                raise DataCorrupted(f"{entry.key} does not follow entry {tail.sequence} that {self._path} has applied.")
            self._apply_entry(entry, db)
            tail = entry.tail
        # The values may have been replaced since: the backfill finds the conversion errors that are left.
        self._tables.begin_backfill(db, self._stored_index.unfit_fields)
        self._stored_index.unfit_fields.clear()

    def _apply_entry(self, entry: Entry, db: Connection) -> None:
        try:
            lines = (line for _, line in entry.lines)
            writes = [None if line is None else decode_record(self._spec, line, self._stored_index) for line in lines]
        except (ValueError, LookupError) as error:
            raise DataCorrupted(f"{entry.key} holds a line that is not a record.") from error
        for write in writes:
            if isinstance(write, Write) and write.kind is CommitKind.purge:
                # Some or all of what it purged is blank by now, so there may be less of it, or nothing.
                self._tables.remove(db, write)
                continue
            refused = None if write is None else self._tables.apply(db, write, accepted=True)
            if refused is not None:
                raise DataCorrupted(f"{entry.key} does not fit what came before it: {refused}")
        self.record_writes(db, entry, writes)

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
