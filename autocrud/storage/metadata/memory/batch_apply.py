"""Applies the accepted writes of a batch to the tables in memory. `decide` has judged them; nothing is refused here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autocrud.resource import CommitKind, revision_number
from autocrud.storage.decision.writes import state_after
from autocrud.storage.metadata.memory.rows import row_after
from autocrud.storage.metadata.memory.store_tables import StoreTables
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.time_slice import Steps
from autocrud.storage.ports.transactions import Position, StoreChange
from autocrud.storage.ports.types import Blob, Item, Write, commit_of, on_delete_task_of


class BatchApply:
    """Applies the accepted items of one batch in order.

    Args:
        models: tables of each model by its folder.
        sequence: number of the batch.
    """

    def __init__(self, store: StoreTables, models: Mapping[str, MemoryTables], sequence: int) -> None:
        self._store = store
        self._models = models
        self._sequence = sequence
        self._released: set[tuple[str, str]] = set()
        self._retained: set[tuple[str, str]] = set()

    def steps(self, items: Sequence[Item]) -> Steps[list[tuple[str, Blob]]]:
        """Apply the items. Return the blobs, each with its model, that no resource refers to any more."""
        for ordinal, item in enumerate(items):
            if isinstance(item, Contract):
                self._store.contracts[item.model] = item
                continue
            tables = self._models[item.model]
            tables.is_stored = True
            if isinstance(item, Blob):
                tables.blobs[item.file_id] = item
            else:
                self._write(tables, item, ordinal)
            yield
        # At the end of the batch, because a later write may refer to a blob that an earlier write released.
        return [
            (model, self._models[model].blobs.pop(file_id))
            for model, file_id in self._released - self._retained
            if not self._models[model].blob_uses[file_id]
        ]

    def _write(self, tables: MemoryTables, write: Write, ordinal: int) -> None:
        resource_id, store = write.meta.resource_id, self._store
        row = tables.rows.get(resource_id)
        locator = f"{resource_id}/{next(tables.serials)}"
        new_row = None if write.kind is CommitKind.purge else row_after(tables.spec, write, row, locator)
        key = (write.model, resource_id)
        store.change(key, state_after(write, store.resources.get(key)))
        position = Position(self._sequence, ordinal)
        store.changes.add(StoreChange(position, write.model, resource_id, write.meta.version, write.kind))
        if write.key is not None:
            store.store_key(write.model, write.key, resource_id)
        if write.has_task:
            tables.pending[on_delete_task_of(write)] = None
        tables.row_index.change(row, new_row)
        if new_row is None:
            self._forget(tables, write)
        else:
            tables.rows[resource_id] = new_row
            self._record(tables, write, new_row, locator)

    def _record(self, tables: MemoryTables, write: Write, row: Row, locator: str) -> None:
        """Add a write to the history of its resource."""
        resource_id, version = write.meta.resource_id, write.meta.version
        if write.data is not None:
            tables.data[locator] = write.data
        tables.commits.setdefault(resource_id, []).append(commit_of(write, None if write.data is None else locator))
        tables.index_values.setdefault(resource_id, []).append(row.index)
        if write.blobs:
            tables.references.setdefault(resource_id, {})[version] = write.blobs
            for file_id in write.blobs:
                tables.blob_uses[file_id] = tables.blob_uses.get(file_id, 0) + 1
        if write.prunes:
            self._prune(tables, write)

    def _prune(self, tables: MemoryTables, write: Write) -> None:
        """Erase the data of the revisions that a write prunes."""
        resource_id = write.meta.resource_id
        history, index_values = tables.commits[resource_id], tables.index_values[resource_id]
        for place, commit in enumerate(history):
            number = revision_number(resource_id, commit.revision_id)
            if number > write.prunes or commit.revision_id == write.meta.current_revision_id:
                continue
            index_values[place] = (None,) * len(index_values[place])
            if commit.locator:
                history[place] = replace(commit, locator=None, data_hash="")
                del tables.data[commit.locator]
                self._release(tables, write, [commit.version])

    def _forget(self, tables: MemoryTables, write: Write) -> None:
        """Erase a purged resource, except for the blobs that the write retains."""
        resource_id = write.meta.resource_id
        del tables.rows[resource_id], tables.index_values[resource_id]
        for commit in tables.commits.pop(resource_id):
            if commit.locator is not None:
                del tables.data[commit.locator]
        self._release(tables, write, list(tables.references.get(resource_id, ())))
        tables.references.pop(resource_id, None)
        self._retained.update((write.model, file_id) for file_id in write.blobs)

    def _release(self, tables: MemoryTables, write: Write, versions: Iterable[int]) -> None:
        """Drop the references of some versions to blobs."""
        references = tables.references.get(write.meta.resource_id, {})
        for version in versions:
            for file_id in references.pop(version, ()):
                tables.blob_uses[file_id] -= 1
                self._released.add((write.model, file_id))
