"""Applies a batch to the tables in memory: refuses or accepts each item, and reverts a refused atomic batch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from autocrud.errors import AlreadyExists, Conflict, UniqueViolation
from autocrud.resource import CommitKind, revision_number, timestamp
from autocrud.storage.metadata.memory.rows import Claim, row_after
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.metadata.memory.undo_log import UndoLog
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.types import (
    Blob,
    Item,
    Outcome,
    Repeated,
    UnknownBlob,
    Write,
    abort_unless_all_accepted,
    commit_of,
    on_delete_task_of,
)


def apply_batch(tables: MemoryTables, batch: Sequence[Item], atomic: bool) -> list[Outcome]:
    """Apply the items in order. If an atomic batch has a refused item, the tables stay as they were."""
    undo = UndoLog(atomic)
    apply = _BatchApply(tables, undo)
    outcomes = [apply.register(item) if isinstance(item, Blob) else apply.write(item) for item in batch]
    if atomic and any(outcomes):
        undo.revert()
        return abort_unless_all_accepted(outcomes)
    return outcomes


class _BatchApply:
    """Applies items, and records in an undo log how to revert them."""

    def __init__(self, tables: MemoryTables, undo: UndoLog) -> None:
        self._tables = tables
        self._undo = undo

    def register(self, blob: Blob) -> Outcome:
        """Add a blob, or return the reason for its refusal."""
        if blob.file_id in self._tables.blobs:
            return AlreadyExists(blob.file_id)
        self._undo.save(self._tables.blobs, blob.file_id)
        self._tables.blobs[blob.file_id] = blob
        return None

    def write(self, write: Write) -> Outcome:
        """Apply a write, or return the reason for its refusal."""
        tables, undo = self._tables, self._undo
        resource_id = write.meta.resource_id
        row = tables.rows.get(resource_id)
        refused = self._find_refusal(write, row)
        if refused is not None:
            return refused
        locator = f"{resource_id}/{next(tables.serials)}"
        new_row = None if write.kind is CommitKind.purge else row_after(tables.spec, write, row, locator)
        new_claims = [] if new_row is None else self._claims_of(new_row)
        if (violation := self._find_violation(new_claims, resource_id)) is not None:
            return violation
        self._change_claims([] if row is None else self._claims_of(row), new_claims, resource_id)
        if write.has_task:
            task = on_delete_task_of(write)
            undo.save(tables.pending, task)
            tables.pending[task] = None
        undo.save(tables.rows, resource_id)
        undo.add(partial(tables.row_index.change, new_row, row))
        tables.row_index.change(row, new_row)
        if new_row is None:
            self._forget(resource_id, write.blobs)
        else:
            tables.rows[resource_id] = new_row
            self._record(write, new_row, locator)
        return None

    def _find_refusal(self, write: Write, row: Row | None) -> Outcome:
        tables = self._tables
        resource_id = write.meta.resource_id
        if write.key and write.key.key in tables.keys:
            key, holder = tables.keys[write.key.key]
            if key.expires > timestamp(write.meta.updated_time):
                return Repeated(holder, key.fingerprint)
        for file_id in write.blobs:
            if file_id not in tables.blobs:
                return UnknownBlob(file_id)
        if write.follows == 0 and row is not None:
            return AlreadyExists(resource_id)
        if write.follows != (row.head.version if row else 0):
            return Conflict(resource_id, write.follows)
        if row is not None and row.head.created_time != timestamp(write.meta.created_time):
            return Conflict(resource_id, write.follows)  # it was purged and created again
        return None

    def _claims_of(self, row: Row) -> list[Claim]:
        """Return the unique values that a resource holds while it is live."""
        if row.head.is_deleted:
            return []
        constraints = self._tables.spec.unique_constraints
        claims = ((number, unique.claim(row.index)) for number, unique in enumerate(constraints))
        return [(number, values) for number, values in claims if values is not None]

    def _find_violation(self, claims: Sequence[Claim], resource_id: str) -> UniqueViolation | None:
        """Return the first unique set whose values another live resource holds."""
        for claim in claims:
            holder = self._tables.holders.get(claim, resource_id)
            if holder != resource_id:
                return UniqueViolation(self._tables.spec.unique_constraints[claim[0]].names, holder)
        return None

    def _change_claims(self, released: Sequence[Claim], claimed: Sequence[Claim], resource_id: str) -> None:
        holders = self._tables.holders
        for claim in (*released, *claimed):
            self._undo.save(holders, claim)
        for claim in released:
            del holders[claim]
        holders |= dict.fromkeys(claimed, resource_id)

    def _record(self, write: Write, row: Row, locator: str) -> None:
        """Add a write to the history of its resource."""
        tables, undo = self._tables, self._undo
        resource_id, version = write.meta.resource_id, write.meta.version
        if write.data is not None:
            undo.save(tables.data, locator)
            tables.data[locator] = write.data
        undo.save(tables.commits, resource_id)
        undo.save(tables.index_values, resource_id)
        tables.commits.setdefault(resource_id, []).append(commit_of(write, None if write.data is None else locator))
        tables.index_values.setdefault(resource_id, []).append(row.index)
        if write.key:
            undo.save(tables.keys, write.key.key)
            tables.keys[write.key.key] = (write.key, resource_id)
        if write.blobs:
            undo.save(tables.references, resource_id)
            tables.references.setdefault(resource_id, {})[version] = write.blobs
        if write.prunes:
            self._prune(write)

    def _prune(self, write: Write) -> None:
        """Erase the data of the revisions that a write prunes."""
        tables, resource_id = self._tables, write.meta.resource_id
        history, index_values = tables.commits[resource_id], tables.index_values[resource_id]
        for place, commit in enumerate(history):
            number = revision_number(resource_id, commit.revision_id)
            if number > write.prunes or commit.revision_id == write.meta.current_revision_id:
                continue
            index_values[place] = (None,) * len(index_values[place])
            if commit.locator:
                history[place] = replace(commit, locator=None)
                self._erase(commit.locator)
                self._release(resource_id, [commit.version])

    def _forget(self, resource_id: str, retained_ids: Iterable[str]) -> None:
        """Erase a purged resource, except for its blobs that a later write of the group refers to."""
        tables, undo = self._tables, self._undo
        undo.save(tables.commits, resource_id)
        undo.save(tables.index_values, resource_id)
        del tables.rows[resource_id], tables.index_values[resource_id]
        for commit in tables.commits.pop(resource_id):
            if commit.locator is not None:
                self._erase(commit.locator)
        self._release(resource_id, list(tables.references.get(resource_id, ())), retained_ids)
        for key in [key for key, (_, holder) in tables.keys.items() if holder == resource_id]:
            undo.save(tables.keys, key)
            del tables.keys[key]

    def _erase(self, locator: str) -> None:
        self._undo.save(self._tables.data, locator)
        del self._tables.data[locator]

    def _release(self, resource_id: str, versions: Iterable[int], retained_ids: Iterable[str] = ()) -> None:
        """Drop references, and the blobs that no resource refers to any more, except the retained blobs."""
        tables, undo = self._tables, self._undo
        if resource_id not in tables.references:
            return
        undo.save(tables.references, resource_id)
        references = tables.references[resource_id]
        released = {file_id for version in versions for file_id in references.pop(version, ())}
        if not released:
            return
        used = {file_id for other in tables.references.values() for blobs in other.values() for file_id in blobs}
        for file_id in released - used - set(retained_ids):
            undo.save(tables.blobs, file_id)
            undo.add(tables.orphans.pop)
            tables.orphans.append(tables.blobs.pop(file_id).key)
