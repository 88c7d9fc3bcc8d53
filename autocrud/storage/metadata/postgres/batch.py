"""Decides a batch of writes against the rows that it has locked: what is accepted, and what the rows become."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any

from autocrud.errors import AlreadyExists, AutoCRUDError, Conflict, UniqueViolation
from autocrud.resource import CommitKind, timestamp
from autocrud.storage.commit_log.record_codec import data_span, encode_record
from autocrud.storage.metadata.postgres.history_tables import commit_row
from autocrud.storage.metadata.postgres.tables import Claim, PostgresTables
from autocrud.storage.ports.types import (
    Blob,
    Item,
    Outcome,
    Repeated,
    UnknownBlob,
    Write,
    abort_unless_all_accepted,
    on_delete_task_of,
)


@dataclass(slots=True)
class BatchState:
    """One resource as the batch leaves it so far.

    Attributes:
        version: 0 where there is none.
        created_time: of it, which tells it from another of the same id.
        record: the place of its last record, and `first_record` of its first one.
        unique: the values that it holds while it is live, and `claim` those that it had before the batch.
        last: the last accepted write, and `data` the last one with data.
        references: the blobs that its new commits refer to: resource, version, blob.
        prunes: up to which revision data is given up, which one was current then, and at which version that was.
        version_before: the version that it had before the batch.
        base: the version of the last state with index values of its own, or that from before the batch.
        writes: its accepted writes, each with the `base` that it leaves as it is, 0 where it has values of its own.
        stored: whether it has a row, from before the batch.
        purged: whether that row, or the history of it, is to be removed.
    """

    version: int = 0
    created_time: datetime | None = None
    record: str | None = None
    unique: list[Claim] = field(default_factory=list)
    last: Write | None = None
    data: Write | None = None
    locator: str = ""
    stored: bool = False
    purged: bool = False
    commits: list[tuple[Any, ...]] = field(default_factory=list)
    references: list[tuple[str, int, str]] = field(default_factory=list)
    prunes: list[tuple[int, str, int]] = field(default_factory=list)
    version_before: int = 0
    base: int = 0
    writes: list[tuple[Write, int]] = field(default_factory=list)
    first_record: str | None = None
    claim: Sequence[Claim] = ()


class Batch:
    """A batch of writes, each of which sees those before it.

    Args:
        key: where the batch's records will be, relative to the model's prefix.
        atomic: where one is refused, all are.
    """

    def __init__(self, tables: PostgresTables, items: Sequence[Item], key: str, atomic: bool = False) -> None:
        self._atomic = atomic
        self._tables = tables
        self._items = items
        self._writes = [item for item in items if isinstance(item, Write)]
        self.key = key
        self._states: dict[str, BatchState] = {write.meta.resource_id: BatchState() for write in self._writes}
        self._known_blobs: set[str] = set()
        self._keys: dict[str, tuple[str, str, str]] = {}
        self.blob_rows: list[tuple[Any, ...]] = []
        self._holders: dict[Claim, str] = {}
        self._offset = 0
        self.lines: list[bytes] = []
        self.pending: list[tuple[Any, ...]] = []  # rows of the follow-ups
        self.erased_records: list[str] = []  # places of records in this very batch that it also purges
        self.outcomes: list[Outcome] = []

    @property
    def resource_ids(self) -> list[str]:
        """The resources that it is about, in the order in which every node locks them."""
        return sorted(self._states)

    @property
    def content(self) -> bytes:
        """Its records, as they are to be stored."""
        return b"".join(line + b"\n" for line in self.lines)

    def add_row(
        self, resource_id: str, version: int, created_time: datetime, record: str | None, unique: Sequence[Any]
    ) -> None:
        """Take in a locked row; `unique` are its values of the fields of unique sets, in order."""
        claim = self._tables.locked_claims(unique)
        self._states[resource_id] = BatchState(
            version, created_time, record, claim, stored=True, version_before=version, base=version, claim=claim
        )

    @property
    def purges(self) -> list[str]:
        """The resources that it may purge."""
        return [write.meta.resource_id for write in self._writes if write.kind is CommitKind.purge]

    def add_first_record(self, resource_id: str, record: str) -> None:
        """Take in the place of a resource's first record."""
        self._states[resource_id].first_record = record

    def possible_claims(self) -> Iterable[Claim]:
        """All unique values that any write of it may come to hold."""
        for write in self._writes:
            if write.data is not None:
                yield from self._tables.claims_of(write.index)
        for state in self._states.values():
            yield from state.unique

    @property
    def request_keys(self) -> list[str]:
        """The request keys of its writes."""
        return [write.key.key for write in self._writes if write.key]

    @property
    def file_ids(self) -> list[str]:
        """The blobs that it registers or refers to."""
        file_ids = {file_id for write in self._writes for file_id in write.blobs}
        return sorted(file_ids | {item.file_id for item in self._items if isinstance(item, Blob)})

    def add_blobs_and_keys(self, file_ids: Iterable[str], keys: Iterable[tuple[str, str, str, str]]) -> None:
        """Take in the blobs that are registered, and the request keys that are held."""
        self._known_blobs = set(file_ids)
        self._keys = {key: (fingerprint, expires, holder) for key, fingerprint, expires, holder in keys}

    def add_holder(self, claim: Claim, resource_id: str) -> None:
        """Take in who holds a unique value."""
        self._holders[claim] = resource_id

    def decide(self) -> None:
        """Accept or refuse each of its items, in order."""
        self.outcomes = [self._register(item) if isinstance(item, Blob) else self._decide(item) for item in self._items]
        if self._atomic and any(self.outcomes):
            self.outcomes, self.lines = abort_unless_all_accepted(self.outcomes), []

    def rows(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Rows to insert, to update, and to update but for the data."""
        new_rows: list[tuple[Any, ...]] = []
        data_rows: list[tuple[Any, ...]] = []
        metadata_rows: list[tuple[Any, ...]] = []
        for resource_id in self.resource_ids:
            state = self._states[resource_id]
            if state.last is None or state.version == 0:
                continue
            row = self._tables.head_row(state.last.meta, state.last.meta_json, state.data, state.locator)
            is_new = not state.stored or state.purged
            (new_rows if is_new else metadata_rows if state.data is None else data_rows).append(row)
        return new_rows, data_rows, metadata_rows

    def claim_donors(self) -> list[str]:
        """The resources that it changes which had unique values that others of it take."""
        return [
            resource_id
            for resource_id, state in self._states.items()
            if state.last is not None
            and any(self._holders.get(claim, resource_id) != resource_id for claim in state.claim)
        ]

    def commits(self) -> list[tuple[Any, ...]]:
        """Rows of the history."""
        return [row for state in self._states.values() for row in state.commits]

    def references(self) -> list[tuple[str, int, str]]:
        """Rows of the references to blobs."""
        return [row for state in self._states.values() for row in state.references]

    def key_rows(self) -> list[tuple[str, str, str, str]]:
        """Rows of the request keys of what it has made."""
        made = [(write, self._keys.get(write.key.key)) for write in self._writes if write.key]
        return [
            (write.key.key, *row)
            for write, row in made
            if write.key and row == (write.key.fingerprint, write.key.expires, write.meta.resource_id)
        ]

    def key_times(self) -> tuple[list[str], list[str]]:
        """Its request keys, and the times at which those that stand must have expired."""
        made = [(write.key.key, timestamp(write.meta.updated_time)) for write in self._writes if write.key]
        return [key for key, _ in made], [time for _, time in made]

    def prunes(self) -> list[tuple[str, int, str, int]]:
        """The resources that give up old data: up to which revision, which one was current, and at which version."""
        return [(resource_id, *prune) for resource_id, state in self._states.items() for prune in state.prunes]

    def states(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """The statements that enter its states, of a temporal model, each with its rows."""
        resources = ((state.version_before, state.writes) for state in self._states.values())
        return self._tables.states.plan_statements(resources, self._tables.index_row)

    def purged(self) -> list[str]:
        """The resources whose rows and histories are to be removed."""
        return [resource_id for resource_id, state in self._states.items() if state.purged]

    def with_purges_refused(self, error: AutoCRUDError) -> list[Outcome]:
        """The outcomes, with this one for each accepted purge."""
        pairs = zip(self._items, self.outcomes, strict=True)
        return [
            error if isinstance(item, Write) and item.kind is CommitKind.purge and refused is None else refused
            for item, refused in pairs
        ]

    def _register(self, blob: Blob) -> Outcome:
        if blob.file_id in self._known_blobs:
            return AlreadyExists(blob.file_id)
        self._known_blobs.add(blob.file_id)
        record = self._append(encode_record(blob))
        self.blob_rows.append((blob.file_id, blob.size, blob.key, blob.created_time, record))
        return None

    def _append(self, line: bytes) -> str:
        """Add a record; its place."""
        record = f"{self.key}:{self._offset}:{len(line)}"
        self._offset += len(line) + 1
        self.lines.append(line)
        return record

    def _find_refusal(self, write: Write) -> Outcome:
        """What speaks against a write beside the state of its resource."""
        if write.key and write.key.key in self._keys:
            fingerprint, expires, holder = self._keys[write.key.key]
            if expires > timestamp(write.meta.updated_time):
                return Repeated(holder, fingerprint)
        return next((UnknownBlob(file_id) for file_id in write.blobs if file_id not in self._known_blobs), None)

    def _decide(self, write: Write) -> Outcome:
        resource_id = write.meta.resource_id
        state = self._states[resource_id]
        refused = self._find_refusal(write)
        if refused is not None:
            return refused
        if write.follows == 0 and state.version:
            return AlreadyExists(resource_id)
        if write.follows != state.version or state.created_time not in (None, write.meta.created_time):
            return Conflict(resource_id, write.follows)
        unique = state.unique if write.data is None else self._tables.claims_of(write.index)
        new_claims = [] if write.meta.is_deleted else unique
        for claim in new_claims:
            holder = self._holders.get(claim, resource_id)
            if holder != resource_id:
                return UniqueViolation(self._tables.unique_constraints[claim[0]].names, holder)
        for claim in state.unique:
            if self._holders.get(claim) == resource_id:
                del self._holders[claim]
        for claim in new_claims:
            self._holders[claim] = resource_id
        self._accept(write, state, unique)
        return None

    def _accept(self, write: Write, state: BatchState, unique: list[Claim]) -> None:
        line = encode_record(write, state.record, state.first_record if write.kind is CommitKind.purge else None)
        start, size = data_span(write, len(line))
        locator = f"{self.key}:{self._offset + start}:{size}" if size else None
        record = self._append(line)
        if write.has_task:
            self.pending.append(astuple(on_delete_task_of(write)))
        if write.kind is CommitKind.purge:
            self.erased_records += [row[-1] for row in state.commits]
            claim = self._keys.items()
            self._keys = {key: row for key, row in claim if row[2] != write.meta.resource_id}
            stored = state.stored
            self._states[write.meta.resource_id] = BatchState(last=write, stored=stored, purged=True)
            return
        state.version, state.record, state.first_record = write.meta.version, record, state.first_record or record
        state.created_time = write.meta.created_time
        state.unique, state.last = unique, write
        if locator is not None:
            state.data, state.locator = write, locator
        if write.revision is not None:  # also one whose data was pruned, which has no values
            state.base = write.meta.version
        state.writes.append((write, 0 if write.revision is not None else state.base))
        state.commits.append(commit_row(write, locator, record))
        state.references += [(write.meta.resource_id, write.meta.version, file_id) for file_id in write.blobs]
        if write.prunes:
            state.prunes.append((write.prunes, write.meta.current_revision_id, write.meta.version))
        if write.key:
            self._keys[write.key.key] = (write.key.fingerprint, write.key.expires, write.meta.resource_id)
