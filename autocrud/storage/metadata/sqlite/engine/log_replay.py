"""Replays the log of a store into its SQLite file: one pass for all models."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.commit_log.log import EMPTY, Entry, Log, Tail
from autocrud.storage.commit_log.record_codec import data_span, decode_item, set_index
from autocrud.storage.decision.state import ReadState
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, begin
from autocrud.storage.metadata.sqlite.engine.batch_apply import BatchApply, PlacedItem
from autocrud.storage.metadata.sqlite.engine.claim_tables import NO_FACTS, Facts
from autocrud.storage.metadata.sqlite.engine.erasure import Eraser
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.state_loader import load_resources
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail, set_tail
from autocrud.storage.ports.claims import claims_of, references_of
from autocrud.storage.ports.types import Item, Write

logger = logging.getLogger(__name__)

_REPLAY_ENTRIES = 500  # of one transaction, at least


class LogReplayer:
    """Applies the log to the SQLite file. Callers of its coroutines hold the store's lock.

    Attributes:
        tail: the last entry that the file is known to hold.
    """

    def __init__(self, file: StoreFile, log: Log, models: Models, eraser: Eraser) -> None:
        self._file = file
        self._log = log
        self._models = models
        self._eraser = eraser
        self.tail = EMPTY
        # Its data that cannot be upgraded is counted over all entries, for one warning per model.
        self._stored_indexes: dict[str, tuple[ModelSpec[Any], StoredIndex]] = {}

    async def check_tail(self, connection: SqliteConnection) -> None:
        """Check that the log holds what the file has applied.

        Args:
            connection: connection without an open transaction of another caller.

        Raises:
            DataCorrupted: the log ends before it, or has another entry in its place.
        """
        self.tail = tail = await connection.run(read_tail)
        if tail == EMPTY:
            return
        entry = await self._log.read(tail.sequence)
        if entry is None or entry.tail != tail:
            raise DataCorrupted(
                f"{self._file.path} has applied entry {tail.sequence}, which its log does not hold: the bucket or"
                " folder was deleted, exchanged or set back. Put the log back; or, to take it as it is, restart without"
                " the SQLite file."
            )

    async def catch_up(self, *, announce: bool = False) -> None:
        """Apply the log's entries that the file does not hold.

        Raises:
            DataCorrupted: they do not follow what it holds.
        """
        caught_up, writer = False, self._file.writer
        while not caught_up:
            await writer.run(begin)
            try:
                caught_up = await self._replay()
                await writer.run(Connection.commit)
            except BaseException:
                await writer.run(Connection.rollback)
                self._models.forget_others()
                raise
            self.tail = await writer.run(read_tail)
            if announce and not caught_up:
                logger.info("%s: replayed the log up to entry %d", self._file.path, self.tail.sequence)
        for _, stored_index in self._stored_indexes.values():
            stored_index.report()
        await self._eraser.erase()

    async def _replay(self) -> bool:
        """Apply entries within the open transaction. Return True at the end of the log."""
        tail = await self._file.writer.run(read_tail)
        first = tail.sequence
        async for entries in self._log.entries(first):
            await self._file.writer.run(partial(self._apply_entries, entries, tail))
            tail = entries[-1].tail
            if tail.sequence - first >= _REPLAY_ENTRIES:
                return False
        return True

    def _apply_entries(self, entries: Sequence[Entry], tail: Tail, db: Connection) -> None:
        placed: list[PlacedItem] = []
        for entry in entries:
            if entry.previous != tail.nonce:
                raise DataCorrupted(
                    f"{entry.key} does not follow entry {tail.sequence} that {self._file.path} has applied."
                )
            tail = entry.tail
            added = list(self._decode(entry))
            placed += added
            if any(_erases(item.item) for item in added):
                # Blobs without references are found at the end of an entry, as they were when it was committed.
                self._apply(db, placed)
                placed = []
        self._apply(db, placed)
        set_tail(db, tail)

    def _apply(self, db: Connection, placed: Sequence[PlacedItem]) -> None:
        if not placed:
            return
        names = {(item.item.model, item.item.meta.resource_id) for item in placed if isinstance(item.item, Write)}
        state = ReadState()
        load_resources(db, self._models, names, state)
        try:
            BatchApply(db, self._models, state, is_replay=True).apply(placed)
        except DataCorrupted as error:
            first, last = placed[0].sequence, placed[-1].sequence
            raise DataCorrupted(f"Entries {first} to {last} of the log cannot be applied. {error}") from error
        self._models.replayed |= {item.item.model for item in placed} - self._models.attached.keys()
        for folder, (_, stored_index) in self._stored_indexes.items():
            # The values may have been replaced since: the backfill finds the conversion errors that are left.
            if stored_index.unfit_fields:
                self._models.attached[folder].begin_backfill(db, stored_index.unfit_fields)
                stored_index.unfit_fields.clear()

    def _decode(self, entry: Entry) -> Iterator[PlacedItem]:
        try:
            for ordinal, (offset, line) in enumerate(entry.lines):
                if line is not None:
                    item = decode_item(line)
                    placed = place_item(self._log, entry, ordinal, item, len(line), offset)
                    yield self._complete(placed, item) if isinstance(item, Write) else placed
        except (ValueError, LookupError) as error:
            raise DataCorrupted(f"{entry.key} holds a line that is not a record.") from error

    def _complete(self, placed: PlacedItem, write: Write) -> PlacedItem:
        """Compute the index values of a write, and the claims and references that its writer did not know of."""
        tables = self._models.attached.get(write.model)
        if tables is None or write.revision is None:
            return placed._replace(has_references=tables is not None)
        spec = tables.spec
        set_index(spec, write, self._stored_index(write.model, spec))
        claims = set(claims_of(spec.unique_constraints, write.index)) - set(write.claims)
        references = set(references_of(spec.index_fields, spec.reference_targets, write.index)) - set(write.references)
        extra = Facts(tuple(claims), tuple(references)) if claims or references else NO_FACTS
        return placed._replace(extra=extra, has_references=bool(spec.reference_targets) or _has_references(spec, write))

    def _stored_index(self, folder: str, spec: ModelSpec[Any]) -> StoredIndex:
        stored_spec, stored_index = self._stored_indexes.get(folder, (None, None))
        if stored_index is None or stored_spec is not spec:
            stored_index = StoredIndex(spec)
            self._stored_indexes[folder] = spec, stored_index
        return stored_index


def place_item(log: Log, entry: Entry, ordinal: int, item: Item, length: int, offset: int) -> PlacedItem:
    """Return an item with its place in an entry.

    Args:
        length, offset: of its line.
    """
    start, size = data_span(item, length)
    locator = log.locator(entry, offset + start, size) if size else None
    return PlacedItem(item, entry.tail.sequence, ordinal, locator, f"{entry.tail.sequence}:{offset}:{length}")


def _has_references(spec: ModelSpec[Any], write: Write) -> bool:
    """Return True if the record of a write has a reference for each value of a reference field.

    The targets' folders are not known at this moment of a start.
    """
    stored = {(reference.field, reference.resource_id) for reference in write.references}
    for field, value in zip(spec.index_fields, write.index, strict=True):
        if field.ref is not None:
            values = value if isinstance(value, tuple) else (value,)
            if any(item is not None and (field.name, item) not in stored for item in values):
                return False
    return True


def _erases(item: Item) -> bool:
    return isinstance(item, Write) and (item.kind is CommitKind.purge or bool(item.prunes))
