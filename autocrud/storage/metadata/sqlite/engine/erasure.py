"""Erases purged and pruned data from the log, the object store, the SQLite file and the snapshots."""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING

from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.commit_log.records.locators import spans_by_unit
from autocrud.storage.metadata.sqlite.connection import begin, in_transaction, truncate_wal
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.store_tables import Erasure, delete_erasures, pending_erasures
from autocrud.storage.metadata.sqlite.index_tables import erase_deleted_words
from autocrud.storage.ports.objects import ObjectStore

if TYPE_CHECKING:  # it needs a library that a disk does not
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots


class Eraser:
    """Erases what a store has given up. Callers of its coroutines hold the store's lock.

    Attributes:
        open_scans: the number of this process's snapshot scans, for which SQLite retains erased pages.
    """

    def __init__(
        self, file: StoreFile, commits: CommitPath, objects: ObjectStore, snapshots: "Snapshots | None"
    ) -> None:
        self._file = file
        self._commits = commits
        self._objects = objects
        self._snapshots = snapshots
        self.open_scans = 0
        self._blanked: set[Erasure] = set()

    async def erase(self, *, deferred: bool = False) -> bool:
        """Erase purged data, and leave no copy of it in SQLite's files or in snapshots.

        While snapshot scans are open, the data is erased from the log alone, and elsewhere when they have ended.

        Args:
            deferred: erase pruned data too.

        Returns True if nothing is left to erase.
        """
        writer = self._file.writer
        found = await writer.run(lambda db: pending_erasures(db, deferred))
        if not found or (self.open_scans and self._blanked.issuperset(found)):
            return not found
        # Under the write lock: two processes that rewrite one entry must not undo each other's blanks.
        await writer.run(begin)
        try:
            pending = await writer.run(lambda db: pending_erasures(db, deferred))
            await self._erase(pending)
        finally:
            await writer.run(Connection.rollback)
        self._blanked.update(pending)
        if self.open_scans:
            return False
        await writer.run(partial(in_transaction, erase_deleted_words))
        await writer.run(truncate_wal)
        if self._snapshots is not None and pending:
            await self._snapshots.supersede(self._file.path, max(erasure.purged for erasure in pending))
        await writer.run(lambda db: delete_erasures(db, pending))
        self._blanked.difference_update(pending)
        return True

    async def _erase(self, pending: Sequence[Erasure]) -> None:
        """Step by step: whatever a crash leaves is replayed to the same end."""
        for erasure in pending:
            if erasure.step == 1:
                await self._objects.delete(types_key(erasure.place))
                await self._objects.delete(erasure.place)
        for step in (2, 3):
            # The latest first: what a crash leaves of a resource is the beginning of its history.
            places = spans_by_unit(erasure.place for erasure in pending if erasure.step == step)
            for unit, spans in sorted(places.items(), reverse=True):
                await self._commits.log.erase([f"{unit}:{offset}:{length}" for offset, length in spans])
