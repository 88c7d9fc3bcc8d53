"""Erases the bytes of purged and pruned records: in the rows of their batches, or in the log objects."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from autocrud.storage.blobs.hashing import blob_object_key
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.records.entry import Entry, decode_entry
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.tables import columns_of
from autocrud.storage.ports.objects import ObjectStore

_Part = tuple[int, bool]  # ordinal, and True for the whole line


class Erasure(NamedTuple):
    """A part of a record that is to be erased. The resource is that of pruned data."""

    sequence: int
    ordinal: int
    is_purged: bool
    deferred: bool
    model: str | None
    resource_id: str | None
    version: int | None


class Eraser:
    """Erases what the store's tables of erasures name. An interrupted erasure is finished at the next call."""

    def __init__(self, store: SharedStore, objects: ObjectStore) -> None:
        self._store = store
        self._objects = objects
        self._log = ObjectLog(objects, None)

    async def erase(self, *, deferred: bool = False) -> None:
        """Erase purged records now. Erase pruned records only if `deferred` is set."""
        tables = self._store.tables
        if not (await self._store.pool.fetch(tables.has_erasures, deferred))[0][0]:
            return
        async with self._store.pool.connection() as connection, connection.transaction(isolation="read_committed"):
            # A batch must not be moved while its bytes are erased.
            await connection.execute(self._store.take_move_lock)
            blobs = await connection.fetch(tables.pending_blob_erasures, deferred)
            for model, key in blobs:
                await self._objects.delete(blob_object_key(model, types_key(key)))
                await self._objects.delete(blob_object_key(model, key))
            erasures = [Erasure._make(row) for row in await connection.fetch(tables.pending_erasures, deferred)]
            for sequence, parts in groupby(sorted(erasures, key=_sequence_of), key=_sequence_of):
                await self._erase_parts(connection, sequence, [(part.ordinal, part.is_purged) for part in parts])
            # Those that came meanwhile stay.
            if erasures:
                await connection.execute(tables.delete_erasures, *columns_of([erasure[:3] for erasure in erasures]))
            if blobs:
                await connection.execute(tables.delete_blob_erasures, *columns_of([tuple(row) for row in blobs]))

    async def _erase_parts(self, connection: Any, sequence: int, parts: Sequence[_Part]) -> None:
        content = await connection.fetchval(self._store.tables.records_of, sequence)
        if content is None:
            entry = await self._log.read_entry(sequence)
            if entry is not None:
                await self._log.erase([_locator(entry, *part) for part in parts])
            return
        entry = decode_entry(bytes(content), f"batch {sequence}", store=None, unit=sequence)
        blanked = bytearray(content)
        for ordinal, is_purged in parts:
            span = entry.spans[ordinal]
            start = span.offset if is_purged or not span.data_length else span.offset + span.metadata_length
            end = span.offset + span.length
            blanked[start:end] = b" " * (end - start)
        await connection.execute(self._store.tables.replace_records, sequence, bytes(blanked))


def _sequence_of(erasure: Erasure) -> int:
    return erasure.sequence


def _locator(entry: Entry, ordinal: int, is_purged: bool) -> str:
    return entry.line_locator(ordinal) if is_purged else entry.last_part_locator(ordinal)
