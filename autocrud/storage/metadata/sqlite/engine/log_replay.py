"""Replays the log of a store into its SQLite file: one pass for all models."""

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.commit_log.records.lines import Record
from autocrud.storage.decision.state import ReadState
from autocrud.storage.metadata.sqlite.engine.batch_apply import BatchApply, PlacedItem, place_item
from autocrud.storage.metadata.sqlite.engine.claim_tables import NO_FACTS, Facts
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.record_place import RecordPlace
from autocrud.storage.metadata.sqlite.engine.state_loader import load_resources
from autocrud.storage.metadata.sqlite.engine.store_tables import Erasure, add_erasure, set_tail
from autocrud.storage.ports.claims import claims_of, references_of
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.types import Item, Write


class LogReplayer:
    """Applies entries of the log within an open transaction."""

    def __init__(self, models: Models) -> None:
        self._models = models
        # Data that cannot be upgraded is counted over all entries, for one warning per model.
        self._stored_indexes: dict[str, tuple[ModelSpec[Any], StoredIndex]] = {}
        self._with_other_claims: set[str] = set()  # models whose records had other claims than their data has now

    def apply(self, db: Connection, entries: Sequence[Entry], checker: ChainChecker) -> None:
        """Apply entries that follow what the file has applied.

        Raises:
            DataCorrupted: an entry does not follow the one before.
        """
        placed: list[PlacedItem] = []
        for entry in entries:
            added = self._place(entry, checker.add(entry))
            placed += added
            if any(_erases(item.item) for item in added):
                # Blobs without references are found at the end of an entry, as they were when it was committed.
                self._apply(db, placed)
                placed = []
        self._apply(db, placed)
        set_tail(db, checker.tail)

    def finish(self, db: Connection, checker: ChainChecker) -> None:
        """Check the end of a replay, and note what a crashed process has left of erased parts.

        Raises:
            DataCorrupted: a part does not verify, and no record erases the part.
        """
        checker.finish()
        for locator in checker.unblanked:
            add_erasure(db, Erasure(locator, 3, checker.tail.sequence), deferred=False)
        checker.unblanked.clear()

    def report(self) -> None:
        """Log what could not be upgraded."""
        for _, stored_index in self._stored_indexes.values():
            stored_index.report()

    def _place(self, entry: Entry, records: Sequence[Record]) -> list[PlacedItem]:
        placed: list[PlacedItem] = []
        for ordinal, (item, erases) in enumerate(records):
            if isinstance(item, Write):
                extra, has_references = self._complete(item)
                place, locator = RecordPlace.of(entry, ordinal), entry.data_locator(ordinal, item)
                placed.append(PlacedItem(item, place, locator, extra, erases, has_references))
            elif item is not None:
                placed.append(place_item(entry, ordinal, item))
        return placed

    def _apply(self, db: Connection, placed: Sequence[PlacedItem]) -> None:
        if not placed:
            return
        names = {(item.item.model, item.item.meta.resource_id) for item in placed if isinstance(item.item, Write)}
        state = ReadState()
        load_resources(db, self._models, names, state)
        try:
            BatchApply(db, self._models, state, is_replay=True).apply(placed)
        except DataCorrupted as error:
            first, last = placed[0].record.sequence, placed[-1].record.sequence
            raise DataCorrupted(f"Entries {first} to {last} of the log cannot be applied. {error}") from error
        written = {item.item.model for item in placed if not isinstance(item.item, Contract)}
        self._models.replayed |= written - self._models.attached.keys()
        while self._with_other_claims:
            self._models.attached[self._with_other_claims.pop()].index_states.forget_claims(db)
        for folder, (_, stored_index) in self._stored_indexes.items():
            # The values may have been replaced since: the backfill finds the conversion errors that are left.
            if stored_index.unfit_fields:
                self._models.attached[folder].begin_backfill(db, stored_index.unfit_fields)
                stored_index.unfit_fields.clear()

    def _complete(self, write: Write) -> tuple[Facts, bool]:
        """Compute the index values of a write.

        Returns the claims and references that its writer did not know of, and True if its record has all references.
        """
        tables = self._models.attached.get(write.model)
        if tables is None or write.revision is None:
            return NO_FACTS, tables is not None
        spec = tables.spec
        _set_index(spec, write, self._stored_index(write.model, spec))
        has_references = bool(spec.reference_targets) or _has_references(spec, write)
        claims = claims_of(spec.unique_constraints, write.index)
        references = references_of(spec.index_fields, spec.reference_targets, write.index)
        if write.data is not None and claims != write.claims:
            self._with_other_claims.add(write.model)
        claims = tuple(claim for claim in claims if claim not in write.claims)
        references = tuple(reference for reference in references if reference not in write.references)
        return Facts(claims, references) if claims or references else NO_FACTS, has_references

    def _stored_index(self, folder: str, spec: ModelSpec[Any]) -> StoredIndex:
        stored_spec, stored_index = self._stored_indexes.get(folder, (None, None))
        if stored_index is None or stored_spec is not spec:
            stored_index = StoredIndex(spec)
            self._stored_indexes[folder] = spec, stored_index
        return stored_index


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


def _set_index(spec: ModelSpec[Any], write: Write, stored_index: StoredIndex) -> None:
    """Compute the index values of a write from its data."""
    if write.revision is None:
        return
    if write.data is None:
        write.index = (None,) * len(spec.index_fields)
        return
    write.index = stored_index.stored_values(write.meta.resource_id, write.data, write.revision.schema_version)


def _erases(item: Item) -> bool:
    return isinstance(item, Write) and (item.kind is CommitKind.purge or bool(item.prunes))
