"""Blobs that lost references in a batch, and have none at its end."""

from collections.abc import Iterable
from sqlite3 import Connection

from autocrud.storage.metadata.sqlite.base_tables import BaseTables
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.store_tables import Erasure, add_erasure


class OrphanedBlobs:
    """Collects the blobs that a batch releases. A blob that a later write of the batch refers to stays."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._released: dict[tuple[str, str], tuple[int, bool]] = {}
        self._retained: set[tuple[str, str]] = set()

    def add(self, tables: BaseTables, file_ids: Iterable[str], sequence: int, *, deferred: bool) -> None:
        """Add released blobs.

        Args:
            sequence: number of the batch.
            deferred: erase them when there is time.
        """
        for file_id in file_ids:
            key = tables.folder, file_id
            was_deferred = self._released.get(key, (sequence, True))[1]
            self._released[key] = sequence, deferred and was_deferred

    def retain(self, folder: str, file_ids: Iterable[str]) -> None:
        """Leave blobs registered although nothing refers to them."""
        self._retained |= {(folder, file_id) for file_id in file_ids}

    def erase(self, models: Models) -> None:
        """Delete the blobs without references, and note that their objects and records are to be erased."""
        for key in sorted(self._released.keys() - self._retained):
            sequence, deferred = self._released[key]
            folder, file_id = key
            orphan = models.require(self._db, folder).side_tables.take_orphan(self._db, file_id)
            if orphan is not None:
                place, record = orphan
                add_erasure(self._db, Erasure(place, 1, sequence), deferred=deferred)
                add_erasure(self._db, Erasure(record, 2, sequence), deferred=deferred)
