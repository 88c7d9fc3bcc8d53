"""Reads data of records: from the row of its batch, or from the log object that the batch was moved to."""

from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.records.locators import parse_locator, require_data
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.objects import ObjectStore


class RecordReader:
    """Resolves the locators of one store: sequence number, offset in the entry, and length."""

    def __init__(self, store: SharedStore, objects: ObjectStore) -> None:
        self._store = store
        self._log = ObjectLog(objects, None)

    async def data(self, locator: str) -> bytes:
        """Return the bytes that a locator names.

        Raises:
            DataCorrupted: the bytes do not exist, or were erased.
        """
        sequence, offset, length = parse_locator(locator)
        rows = await self._store.pool.fetch(self._store.tables.part_of_batch, sequence, offset + 1, length)
        if not rows or rows[0][0] is None:
            return await self._log.read(locator)
        return require_data(bytes(rows[0][0]), length, f"batch {sequence}", offset)
