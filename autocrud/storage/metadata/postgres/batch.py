"""Decides a batch of writes against the locked rows: accepts or refuses each write, and plans the new rows."""

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
    """State of one resource after the writes of the batch that are decided so far.

    Attributes:
        version: 0 if the resource does not exist.
        created_time: tells the resource from an earlier one with the same id.
        record, first_record: the places of the resource's last and first record.
        claims: the unique values that the resource holds while it is live.
        claims_before: the claims before the batch.
        last: the last accepted write.
        data: the last accepted write with data.
        references: the blobs that the new commits refer to, as rows of resource, version and blob.
        prunes: for each pruning write the last pruned revision, the current revision, and the version of the write.
        version_before: the version before the batch.
        base: the version of the last state with index values of its own, or of the state before the batch.
        writes: the accepted writes, each with the `base` whose values it inherits, or 0 if it has its own values.
        has_row: the table has a row of the resource from before the batch.
        is_purged: the row from before the batch, or its history, is to be deleted.
    """

    version: int = 0
    created_time: datetime | None = None
    record: str | None = None
    claims: list[Claim] = field(default_factory=list)
    last: Write | None = None
    data: Write | None = None
    locator: str = ""
    has_row: bool = False
    is_purged: bool = False
    commits: list[tuple[Any, ...]] = field(default_factory=list)
    references: list[tuple[str, int, str]] = field(default_factory=list)
    prunes: list[tuple[int, str, int]] = field(default_factory=list)
    version_before: int = 0
    base: int = 0
    writes: list[tuple[Write, int]] = field(default_factory=list)
    first_record: str | None = None
    claims_before: Sequence[Claim] = ()


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
        self.pending: list[tuple[Any, ...]] = []  # rows of the on-delete tasks
        self.erased_records: list[str] = []  # places of records in this very batch that it also purges
        self.outcomes: list[Outcome] = []

    @property
    def resource_ids(self) -> list[str]:
        """The resources of the batch, in the order in which every node locks them."""
        return sorted(self._states)

    @property
    def content(self) -> bytes:
        """The content of the object that stores the batch's records."""
        return b"".join(line + b"\n" for line in self.lines)

    def add_row(
        self, resource_id: str, version: int, created_time: datetime, record: str | None, unique_values: Sequence[Any]
    ) -> None:
        """Add a locked row; `unique_values` are the row's values of the fields of unique sets, in order."""
        claims = self._tables.locked_claims(unique_values)
        state = BatchState(version, created_time, record, claims, has_row=True)
        state.version_before, state.base, state.claims_before = version, version, claims
        self._states[resource_id] = state

    @property
    def purges(self) -> list[str]:
        """The resources that the batch may purge."""
        return [write.meta.resource_id for write in self._writes if write.kind is CommitKind.purge]

    def add_first_record(self, resource_id: str, record: str) -> None:
        """Add the place of a resource's first record."""
        self._states[resource_id].first_record = record

    def possible_claims(self) -> Iterable[Claim]:
        """Yield every claim that a write of the batch may come to hold."""
        for write in self._writes:
            if write.data is not None:
                yield from self._tables.claims_of(write.index)
        for state in self._states.values():
            yield from state.claims

    @property
    def request_keys(self) -> list[str]:
        """The request keys of the batch's writes."""
        return [write.key.key for write in self._writes if write.key]

    @property
    def file_ids(self) -> list[str]:
        """The blobs that the batch registers or refers to."""
        file_ids = {file_id for write in self._writes for file_id in write.blobs}
        return sorted(file_ids | {item.file_id for item in self._items if isinstance(item, Blob)})

    def add_blobs_and_keys(self, file_ids: Iterable[str], keys: Iterable[tuple[str, str, str, str]]) -> None:
        """Add the registered blobs among `file_ids`, and the stored request keys."""
        self._known_blobs = set(file_ids)
        self._keys = {key: (fingerprint, expires, holder) for key, fingerprint, expires, holder in keys}

    def add_holder(self, claim: Claim, resource_id: str) -> None:
        """Add the resource that holds a claim."""
        self._holders[claim] = resource_id

    def decide(self) -> None:
        """Accept or refuse each item, in order."""
        self.outcomes = [self._register(item) if isinstance(item, Blob) else self._decide(item) for item in self._items]
        if self._atomic and any(self.outcomes):
            self.outcomes, self.lines = abort_unless_all_accepted(self.outcomes), []

    def rows(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return the rows to insert, to update, and to update without their data."""
        new_rows: list[tuple[Any, ...]] = []
        data_rows: list[tuple[Any, ...]] = []
        metadata_rows: list[tuple[Any, ...]] = []
        for resource_id in self.resource_ids:
            state = self._states[resource_id]
            if state.last is None or state.version == 0:
                continue
            row = self._tables.head_row(state.last.meta, state.last.meta_json, state.data, state.locator)
            is_new = not state.has_row or state.is_purged
            (new_rows if is_new else metadata_rows if state.data is None else data_rows).append(row)
        return new_rows, data_rows, metadata_rows

    def claim_donors(self) -> list[str]:
        """Return the changed resources whose former claims pass to other resources of the batch."""
        return [
            resource_id
            for resource_id, state in self._states.items()
            if state.last is not None
            and any(self._holders.get(claim, resource_id) != resource_id for claim in state.claims_before)
        ]

    def commits(self) -> list[tuple[Any, ...]]:
        """Return rows of the history."""
        return [row for state in self._states.values() for row in state.commits]

    def references(self) -> list[tuple[str, int, str]]:
        """Return rows of the references to blobs."""
        return [row for state in self._states.values() for row in state.references]

    def key_rows(self) -> list[tuple[str, str, str, str]]:
        """Return rows of the request keys of the resources that the batch has created."""
        made = [(write, self._keys.get(write.key.key)) for write in self._writes if write.key]
        return [
            (write.key.key, *row)
            for write, row in made
            if write.key and row == (write.key.fingerprint, write.key.expires, write.meta.resource_id)
        ]

    def key_times(self) -> tuple[list[str], list[str]]:
        """Return the request keys, and the times at which stored keys of these names must have expired."""
        made = [(write.key.key, timestamp(write.meta.updated_time)) for write in self._writes if write.key]
        return [key for key, _ in made], [time for _, time in made]

    def prunes(self) -> list[tuple[str, int, str, int]]:
        """Return for each prune the resource, the last pruned revision, the current revision, and the version."""
        return [(resource_id, *prune) for resource_id, state in self._states.items() for prune in state.prunes]

    def states(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Return the statements that write the states of a temporal model, each with its rows."""
        resources = ((state.version_before, state.writes) for state in self._states.values())
        return self._tables.states.plan_statements(resources, self._tables.index_row)

    def other_versions(self) -> set[int]:
        """Return the schema versions of new data, without the model's own."""
        versions = {state.data.meta.schema_version for state in self._states.values() if state.data is not None}
        return versions - {self._tables.schema_version}

    def purged_ids(self) -> list[str]:
        """Return the resources whose rows and histories are to be deleted."""
        return [resource_id for resource_id, state in self._states.items() if state.is_purged]

    def with_purges_refused(self, error: AutoCRUDError) -> list[Outcome]:
        """Return the outcomes, with this error for each accepted purge."""
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
        """Add a record, and return its place."""
        record = f"{self.key}:{self._offset}:{len(line)}"
        self._offset += len(line) + 1
        self.lines.append(line)
        return record

    def _find_refusal(self, write: Write) -> Outcome:
        """Return the refusal of a write for its request key or its blobs, if any."""
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
        claims = state.claims if write.data is None else self._tables.claims_of(write.index)
        new_claims = [] if write.meta.is_deleted else claims
        for claim in new_claims:
            holder = self._holders.get(claim, resource_id)
            if holder != resource_id:
                return UniqueViolation(self._tables.unique_constraints[claim[0]].names, holder)
        for claim in state.claims:
            if self._holders.get(claim) == resource_id:
                del self._holders[claim]
        for claim in new_claims:
            self._holders[claim] = resource_id
        self._accept(write, state, claims)
        return None

    def _accept(self, write: Write, state: BatchState, claims: list[Claim]) -> None:
        line = encode_record(write, state.record, state.first_record if write.kind is CommitKind.purge else None)
        start, size = data_span(write, len(line))
        locator = f"{self.key}:{self._offset + start}:{size}" if size else None
        record = self._append(line)
        if write.has_task:
            self.pending.append(astuple(on_delete_task_of(write)))
        if write.kind is CommitKind.purge:
            self.erased_records += [row[-1] for row in state.commits]
            rows = self._keys.items()
            self._keys = {key: row for key, row in rows if row[2] != write.meta.resource_id}
            has_row = state.has_row
            self._states[write.meta.resource_id] = BatchState(last=write, has_row=has_row, is_purged=True)
            return
        state.version, state.record, state.first_record = write.meta.version, record, state.first_record or record
        state.created_time = write.meta.created_time
        state.claims, state.last = claims, write
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
