"""Applies what a log entry holds to SQLite, with few calls. Applying never judges: the decision was made before."""

from collections.abc import Sequence
from sqlite3 import Connection, IntegrityError
from typing import Any, NamedTuple

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.decision.state import ReadState, ResourceKey, ResourceState
from autocrud.storage.decision.writes import state_after
from autocrud.storage.metadata.sqlite.base_tables import BaseTables
from autocrud.storage.metadata.sqlite.engine.claim_tables import NO_FACTS, Facts, add_facts, replace_facts
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.orphans import OrphanedBlobs
from autocrud.storage.metadata.sqlite.engine.record_place import RecordPlace
from autocrud.storage.metadata.sqlite.engine.store_tables import (
    add_changes,
    add_models,
    delete_changes,
    set_contracts,
)
from autocrud.storage.metadata.sqlite.history_tables import commit_row
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.metadata.sqlite.versions.disputes import settle_dispute
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Blob, Item, Write


class PlacedItem(NamedTuple):
    """An item with its place in the log.

    Attributes:
        record: place of its line.
        locator: address of its data; None without data.
        extra: claims and references that the model of this process adds to those of the record.
        erases: positions that the record names, on a replay. Some of these records may be blank.
        has_references: False if the record may lack references that the model of this process has.
    """

    item: Item
    record: RecordPlace
    locator: str | None
    extra: Facts = NO_FACTS
    erases: Sequence[Position] = ()
    has_references: bool = False


def place_item(entry: Entry, ordinal: int, item: Item) -> PlacedItem:
    """Return an item with its place in an entry."""
    return PlacedItem(item, RecordPlace.of(entry, ordinal), entry.data_locator(ordinal, item))


class BatchApply:
    """Applies entries within one transaction.

    Args:
        state: state before, with every resource that the entries write.
        is_replay: True if the index values were computed from data that may have another schema version.
    """

    def __init__(self, db: Connection, models: Models, state: ReadState, *, is_replay: bool) -> None:
        self._db = db
        self._models = models
        self._is_replay = is_replay
        self._before = state.resources
        self._after: dict[ResourceKey, ResourceState | None] = {}
        self._extras: dict[ResourceKey, Facts] = {}

    def apply(self, items: Sequence[PlacedItem]) -> dict[Position, set[Position]]:
        """Apply items in order. Blobs without references are found at the end.

        Returns the positions that purges and prunes erase, by the position of the write.
        """
        orphans = OrphanedBlobs(self._db)
        erases: dict[Position, set[Position]] = {}
        changes: list[tuple[Any, ...]] = []
        by_model: dict[str, list[PlacedItem]] = {}
        contracts: list[Contract] = []
        for placed in items:
            if isinstance(placed.item, Contract):
                contracts.append(placed.item)
            else:
                by_model.setdefault(placed.item.model, []).append(placed)
        if contracts:
            set_contracts(self._db, contracts)
        for model, placed_items in by_model.items():
            tables = self._models.require(self._db, model)
            erases |= _ModelApply(self._db, tables, orphans, self._is_replay).apply(placed_items)
        for placed in items:
            item = placed.item
            if not isinstance(item, Write):
                continue
            meta = item.meta
            record = placed.record
            changes.append((record.sequence, record.ordinal, item.model, meta.resource_id, meta.version, item.kind))
            self._follow(item, placed.extra)
        add_models(self._db, by_model)
        add_changes(self._db, _without_purged(items, changes))
        self._store_facts()
        for position, blobs in orphans.erase(self._models).items():
            erases[position] |= blobs
        if erases:
            self._store_erases(items, erases)
        return erases

    def _store_erases(self, items: Sequence[PlacedItem], erases: dict[Position, set[Position]]) -> None:
        """Note what prunes erase: if their record is purged, the purge erases the same."""
        for placed in items:
            item, positions = placed.item, placed.erases or erases.get(placed.record.position)
            if isinstance(item, Write) and item.prunes and positions:
                self._models.require(self._db, item.model).history.set_erases(self._db, item, positions)

    def _follow(self, write: Write, extra: Facts) -> None:
        """Follow the claims and references of a resource through a write."""
        key = write.model, write.meta.resource_id
        before = self._after[key] if key in self._after else self._before.get(key)
        self._after[key] = state_after(write, before)
        if write.revision is not None or write.kind is CommitKind.purge:
            self._extras[key] = extra

    def _store_facts(self) -> None:
        changed: list[tuple[ResourceKey, Facts, Facts]] = []
        for key, state in self._after.items():
            before, after = _facts(self._before.get(key)), _facts(state)
            if before != after or state is None:
                changed.append((key, before, after))
            self._before[key] = state
        if changed:
            replace_facts(self._db, changed)
        for key, extra in self._extras.items():
            state = self._after[key]
            if (extra.claims or extra.references) and state is not None:
                disputed = add_facts(self._db, key, extra._replace(live=not state.is_deleted))
                for claim, holder in disputed:
                    settle_dispute(self._db, self._models.attached[key[0]], key[1], claim, holder)
        self._after.clear()
        self._extras.clear()


class _ModelApply:
    """Applies items of one model. Statements that are alike and follow one another are executed in one call."""

    def __init__(self, db: Connection, tables: BaseTables, orphans: OrphanedBlobs, is_replay: bool) -> None:
        self._db = db
        self._tables = tables
        self._orphans = orphans
        self._is_replay = is_replay
        self._statement = ""
        self._rows: list[tuple[Any, ...]] = []
        self._commits: list[tuple[Any, ...]] = []
        self._marked: list[tuple[str]] = []
        self._side_writes: list[Write] = []
        self._erases: dict[Position, set[Position]] = {}
        is_known = is_replay and isinstance(tables, SqliteTables) and bool(tables.index_columns)
        self._own_version = tables.spec.schema.version if is_known and isinstance(tables, SqliteTables) else None

    def apply(self, items: Sequence[PlacedItem]) -> dict[Position, set[Position]]:
        """Apply the items in order. Return the positions that purges and prunes erase, without those of blobs."""
        tables, versions = self._tables, set[int]()
        for placed in items:
            item = placed.item
            if not isinstance(item, Write):
                self._register(placed)
                continue
            if item.kind is CommitKind.purge:
                self._purge(item, placed)
            if item.key or item.blobs or item.has_task:
                self._side_writes.append(item)
            if item.kind is CommitKind.purge:
                continue
            if item.follows == 0:
                self._add(tables.insert, tables.insert_row(item, placed.locator))
            else:
                statement = tables.update_meta if item.revision is None else tables.update
                self._add(statement, tables.update_row(item, placed.locator))
            self._commits.append(commit_row(item, placed.locator, placed.record.text))
            if item.revision is not None:
                versions.add(item.meta.schema_version)
                if self._own_version is not None and item.meta.schema_version != self._own_version:
                    # The values come from upgraded data, and need no refresh.
                    self._marked.append((item.meta.resource_id,))
            if item.prunes:
                self._prune(item, placed)
        self._flush()
        has_references = all(placed.has_references for placed in items)
        tables.mark_stale(self._db, versions, has_references=has_references)
        return self._erases

    def _register(self, placed: PlacedItem) -> None:
        if isinstance(placed.item, Blob):
            self._tables.side_tables.register(self._db, placed.item, placed.record.text)

    def _add(self, statement: str, row: tuple[Any, ...]) -> None:
        if statement != self._statement:
            self._flush_heads()
            self._statement = statement
        self._rows.append(row)

    def _flush_heads(self) -> None:
        if not self._rows:
            return
        try:
            changed = self._db.executemany(self._statement, self._rows).rowcount
        except IntegrityError as error:
            raise DataCorrupted(f"The log of {self._tables.folder!r} does not fit what came before: {error}") from error
        # On a replay, the creation of a resource that is purged later may be blank.
        if changed != len(self._rows) and not self._is_replay:
            raise DataCorrupted(f"The log of {self._tables.folder!r} changes resources that were never created.")
        self._rows.clear()

    def _flush(self) -> None:
        self._flush_heads()
        if isinstance(self._tables, SqliteTables) and self._marked:
            self._db.executemany(self._tables.set_marker, self._marked)
            self._marked.clear()
        if self._commits:
            self._tables.history.insert_all(self._db, self._commits)
            self._commits.clear()
        if self._side_writes:
            self._tables.side_tables.insert(self._db, self._side_writes)
            self._side_writes.clear()

    def _purge(self, write: Write, placed: PlacedItem) -> None:
        """Remove a resource. On a replay some or all of its records may be blank, so that there is less of it."""
        self._flush()
        tables, resource_id, position = self._tables, write.meta.resource_id, placed.record.position
        self._db.execute(f"DELETE FROM {tables.heads} WHERE resource_id = ?", (resource_id,))
        self._orphans.add(tables, tables.side_tables.release(self._db, resource_id), position, deferred=False)
        self._orphans.retain(tables.folder, write.blobs)
        tables.side_tables.delete_keys_of(self._db, resource_id)
        erased = tables.history.purge(self._db, resource_id, position.sequence)
        self._erases[position] = erased
        delete_changes(self._db, tables.folder, resource_id, {place.sequence for place in erased})

    def _prune(self, write: Write, placed: PlacedItem) -> None:
        self._flush()
        tables, position = self._tables, placed.record.position
        pruned = tables.history.prune(self._db, write, position.sequence)
        self._erases[position] = set(pruned.values())
        if pruned:
            released = tables.side_tables.release(self._db, write.meta.resource_id, pruned)
            self._orphans.add(tables, released, position, deferred=True)


def _facts(state: ResourceState | None) -> Facts:
    if state is None or not (state.claims or state.references):
        return NO_FACTS
    return Facts(tuple(sorted(state.claims)), tuple(sorted(state.references)), not state.is_deleted)


def _without_purged(items: Sequence[PlacedItem], changes: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Leave out the changes of resources that a later item of the same entries purges."""
    purges = {
        (placed.item.model, placed.item.meta.resource_id): placed.record.position
        for placed in items
        if isinstance(placed.item, Write) and placed.item.kind is CommitKind.purge
    }
    if not purges:
        return changes
    return [
        row for row in changes if row[-1] is CommitKind.purge or (row[0], row[1]) > purges.get((row[2], row[3]), (0, 0))
    ]
