"""Blobs that lost references in a batch, and have none at its end."""

from collections.abc import Iterable
from sqlite3 import Connection
from typing import NamedTuple

from autocrud.storage.metadata.sqlite.base_tables import BaseTables
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.record_place import RecordPlace
from autocrud.storage.metadata.sqlite.engine.store_tables import Erasure, add_erasure
from autocrud.storage.ports.transactions import Position


class _Release(NamedTuple):
    """The write that released a blob."""

    position: Position
    deferred: bool


class OrphanedBlobs:
    """Collects the blobs that a batch releases. A blob that a later write of the batch refers to stays."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._released: dict[tuple[str, str], _Release] = {}
        self._retained: set[tuple[str, str]] = set()

    def add(self, tables: BaseTables, file_ids: Iterable[str], position: Position, *, deferred: bool) -> None:
        """Add released blobs.

        Args:
            position: of the write that releases them.
            deferred: erase them when there is time.
        """
        for file_id in file_ids:
            key = tables.folder, file_id
            before = self._released.get(key)
            is_deferred = deferred and (before is None or before.deferred)
            self._released[key] = _Release(position, is_deferred)

    def retain(self, folder: str, file_ids: Iterable[str]) -> None:
        """Leave blobs registered although nothing refers to them."""
        self._retained |= {(folder, file_id) for file_id in file_ids}

    def erase(self, models: Models) -> dict[Position, set[Position]]:
        """Delete the blobs without references, and note that their objects and records are to be erased.

        Returns the positions of the blobs' records, by the position of the write that erases them.
        """
        erased: dict[Position, set[Position]] = {}
        for key in sorted(self._released.keys() - self._retained):
            position, deferred = self._released[key]
            folder, file_id = key
            orphan = models.require(self._db, folder).side_tables.take_orphan(self._db, file_id)
            if orphan is not None:
                place, text = orphan
                record = RecordPlace.parse(text)
                add_erasure(self._db, Erasure(place, 1, position.sequence), deferred=deferred)
                add_erasure(self._db, Erasure(record.line_locator, 2, position.sequence), deferred=deferred)
                erased.setdefault(position, set()).add(record.position)
        return erased
