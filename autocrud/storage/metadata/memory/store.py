"""Metadata store in dicts. It gives the same answers as the SQL engines, in the same order."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any

from autocrud.errors import AlreadyExists, Conflict, DataCorrupted, UniqueViolation
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.query.evaluate import holds, sort_key
from autocrud.resource import CommitKind, revision_number, timestamp
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.metadata.memory.aggregate import aggregate
from autocrud.storage.metadata.memory.point_in_time import CREATING_KINDS, head_at, revision_at
from autocrud.storage.metadata.memory.rows import Claim, Place, Row, row_after
from autocrud.storage.metadata.memory.snapshot_scan import snapshot_scan
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    Item,
    OnDeleteTask,
    Outcome,
    Repeated,
    RequestKey,
    Revision,
    RevisionSpan,
    ScanItem,
    UnknownBlob,
    Write,
    abort_unless_all_accepted,
    commit_of,
    on_delete_task_of,
)
from autocrud.storage.row_view import row_of


@refuse_unless_open(MetaStore)
class MemoryMetaStore(MetaStore):
    """Metadata of one model in this process, lost when the process ends. It survives `close`.

    Args:
        objects: where the blobs are, under `folder`. The metadata store opens and closes it.
    """

    is_open = False

    def __init__(self, spec: ModelSpec[Any], objects: ObjectStore, folder: str) -> None:
        self._objects, self._folder = objects, folder
        self._spec = spec
        self._rows: dict[str, Row] = {}
        self._commits: dict[str, list[Commit]] = {}
        self._indexes: dict[str, list[tuple[IndexValue, ...]]] = {}  # after each of the commits
        self._data: dict[str, bytes] = {}
        self._keys: dict[str, tuple[RequestKey, str]] = {}
        self._blobs: dict[str, Blob] = {}
        self._references: dict[str, dict[int, tuple[str, ...]]] = {}
        self._orphans: list[str] = []
        self._pending: dict[OnDeleteTask, None] = {}
        self._serials = count()  # a locator is never used again
        self._order: list[Place] = []
        self._holders: dict[Claim, str] = {}  # of unique values

    async def open(self) -> None:
        await self._objects.open()
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False
        await self._objects.close()

    async def commit(self, batch: Sequence[Item], atomic: bool = False) -> list[Outcome]:
        before = self._copy_state(batch) if atomic else {}
        outcomes = [self._register(item) if isinstance(item, Blob) else self._apply(item) for item in batch]
        if atomic and any(outcomes):
            vars(self).update(before)
            return abort_unless_all_accepted(outcomes)
        while self._orphans:
            key = self._orphans.pop()
            await self._objects.delete(f"{self._folder}/{types_key(key)}")
            await self._objects.delete(f"{self._folder}/{key}")
        return outcomes

    async def get(self, resource_id: str, current: bool) -> Head | None:
        row = self._rows.get(resource_id)
        return None if row is None else row.head

    async def search(self, query: Query) -> list[Head]:
        page_size = query.limit + 1
        if not query.sort:
            # In the order that the resources are kept in.
            end = len(self._order) if query.after is None else bisect_left(self._order, query.after.values)
            places = (self._order[number] for number in range(end - 1, -1, -1))
            return [row.head for row in islice(self._select(query, places), page_size)]
        rows = sorted(self._select(query, self._order), key=lambda row: sort_key(query.order, row.columns))
        if query.after is not None:
            columns = [key.field.column for key in query.order]
            place = sort_key(query.order, dict(zip(columns, query.after.values, strict=True)))
            rows = rows[bisect_right(rows, place, key=lambda row: sort_key(query.order, row.columns)) :]
        return [row.head for row in rows[:page_size]]

    async def count(self, query: Query) -> int:
        return sum(1 for _ in islice(self._select(query, self._order), query.count_limit))

    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        return snapshot_scan((row.head for row in self._select(query, self._order)), self._commits if history else None)

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        return aggregate(aggregation, (row.columns for row in self._select(aggregation, self._order)))

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        history = self._commits.get(resource_id, [])
        return [commit for commit in reversed(history) if before is None or commit.version < before][:limit]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        return next((commit for commit in reversed(self._commits.get(resource_id, [])) if commit.time <= time), None)

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        found: list[Revision] = []
        for origin in reversed(self._commits.get(resource_id, [])):
            if origin.kind not in CREATING_KINDS or (span.before is not None and origin.version >= span.before):
                continue
            if (span.since and origin.time < span.since) or (span.until and origin.time > span.until):
                continue
            revision = self._revision(origin, None)
            if revision is not None and len(found) < span.limit:
                found.append(revision)
        return found

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        for origin in self._commits.get(resource_id, []):
            if origin.kind in CREATING_KINDS and origin.revision_id == f"{resource_id}:{number}":
                return self._revision(origin, version)
        return None

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        return sorted(self._references.get(resource_id, {}).get(version, ()))

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        references = self._references.get(resource_id, {})
        return max((version for version, file_ids in references.items() if file_id in file_ids), default=None)

    async def blob(self, file_id: str) -> Blob | None:
        return self._blobs.get(file_id)

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        return [
            resource_id
            for resource_id, history in sorted(self._commits.items())
            if resource_id > after
            and any(
                commit.locator and commit.time < before and commit.revision_id != history[-1].revision_id
                for commit in history
            )
        ][:limit]

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        return sorted(item for item in self._pending if after is None or item > after)[:limit]

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        self._pending = dict.fromkeys(self._pending.keys() - set(done))

    async def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        no_columns: tuple[IndexProgress, ...] = ()  # writes fill all columns, and the data ends with the process
        for progress in no_columns:
            yield progress

    async def vacuum(self) -> None:
        now = timestamp(datetime.now(UTC))
        self._keys = {key: entry for key, entry in self._keys.items() if entry[0].expires >= now}

    async def read(self, locator: str) -> bytes:
        try:
            return self._data[locator]
        except KeyError:
            raise DataCorrupted(f"{locator} is lost.") from None

    def _copy_state(self, batch: Sequence[Item]) -> dict[str, Any]:
        """Copies of all that a batch may change, as it is."""
        resource_ids = {item.meta.resource_id for item in batch if isinstance(item, Write)}
        state = {name: copy(value) for name, value in vars(self).items() if isinstance(value, dict | list)}
        for value in state.values():
            if isinstance(value, dict):
                # What is kept of a resource may change in place.
                value.update({key: copy(value[key]) for key in resource_ids & value.keys()})
        return state

    def _register(self, blob: Blob) -> Outcome:
        if blob.file_id in self._blobs:
            return AlreadyExists(blob.file_id)
        self._blobs[blob.file_id] = blob
        return None

    def _find_refusal(self, write: Write, row: Row | None) -> Outcome:
        resource_id = write.meta.resource_id
        if write.key and write.key.key in self._keys:
            key, holder = self._keys[write.key.key]
            if key.expires > timestamp(write.meta.updated_time):
                return Repeated(holder, key.fingerprint)
        for file_id in write.blobs:
            if file_id not in self._blobs:
                return UnknownBlob(file_id)
        if write.follows == 0 and row is not None:
            return AlreadyExists(resource_id)
        if write.follows != (row.head.version if row else 0):
            return Conflict(resource_id, write.follows)
        if row is not None and row.head.created_time != timestamp(write.meta.created_time):
            return Conflict(resource_id, write.follows)  # it was purged and created again
        return None

    def _apply(self, write: Write) -> Outcome:
        resource_id = write.meta.resource_id
        row = self._rows.get(resource_id)
        refused = self._find_refusal(write, row)
        if refused is not None:
            return refused
        locator = f"{resource_id}/{next(self._serials)}"
        new_row = None if write.kind is CommitKind.purge else row_after(self._spec, write, row, locator)
        if new_row is not None and (violation := self._find_violation(new_row)) is not None:
            return violation
        if row is not None:
            del self._order[bisect_left(self._order, row.place)]
            for claim in self._claims_of(row):
                del self._holders[claim]
        if write.has_task:
            self._pending[on_delete_task_of(write)] = None
        if new_row is None:
            self._forget(resource_id, write.blobs)
        else:
            self._rows[resource_id] = new_row
            insort(self._order, new_row.place)
            self._holders |= dict.fromkeys(self._claims_of(new_row), resource_id)
            self._record(write, locator)
        return None

    def _claims_of(self, row: Row) -> list[Claim]:
        """The unique values that a resource holds while it is live."""
        if row.head.is_deleted:
            return []
        claims = ((number, unique.claim(row.index)) for number, unique in enumerate(self._spec.unique_constraints))
        return [(number, values) for number, values in claims if values is not None]

    def _find_violation(self, new_row: Row) -> UniqueViolation | None:
        """The first unique set whose values another live resource holds."""
        for claim in self._claims_of(new_row):
            holder = self._holders.get(claim, new_row.head.resource_id)
            if holder != new_row.head.resource_id:
                return UniqueViolation(self._spec.unique_constraints[claim[0]].names, holder)
        return None

    def _record(self, write: Write, locator: str) -> None:
        resource_id, version = write.meta.resource_id, write.meta.version
        if write.data is not None:
            self._data[locator] = write.data
        history = self._commits.setdefault(resource_id, [])
        history.append(commit_of(write, None if write.data is None else locator))
        indexes = self._indexes.setdefault(resource_id, [])
        indexes.append(self._rows[resource_id].index)
        if write.key:
            self._keys[write.key.key] = (write.key, resource_id)
        if write.blobs:
            self._references.setdefault(resource_id, {})[version] = write.blobs
        for place, commit in enumerate(history if write.prunes else ()):
            number = revision_number(resource_id, commit.revision_id)
            if number > write.prunes or commit.revision_id == write.meta.current_revision_id:
                continue
            indexes[place] = (None,) * len(indexes[place])
            if commit.locator:
                history[place] = replace(commit, locator=None)
                del self._data[commit.locator]
                self._release(resource_id, [commit.version])

    def _revision(self, origin: Commit, version: int | None) -> Revision | None:
        """The revision that a commit made, as of a version; None where its data was pruned."""
        info, data_commit = revision_at(self._commits[origin.resource_id], origin, version)
        if data_commit.locator is None:
            return None
        return Revision(info, origin.version, data_commit.version, data_commit.locator)

    def _release(self, resource_id: str, versions: Iterable[int], retained_ids: Iterable[str] = ()) -> None:
        """Drop references, and the blobs that nobody refers to any more, but for those that are kept."""
        references = self._references.get(resource_id, {})
        released = {file_id for version in versions for file_id in references.pop(version, ())}
        used = {file_id for other in self._references.values() for blobs in other.values() for file_id in blobs}
        for file_id in released - used - set(retained_ids):
            self._orphans.append(self._blobs.pop(file_id).key)

    def _forget(self, resource_id: str, retained_ids: Iterable[str]) -> None:
        del self._rows[resource_id], self._indexes[resource_id]
        for commit in self._commits.pop(resource_id):
            if commit.locator is not None:
                del self._data[commit.locator]
        self._release(resource_id, list(self._references.get(resource_id, ())), retained_ids)
        self._keys = {key: entry for key, entry in self._keys.items() if entry[1] != resource_id}

    def _row_at(self, row: Row, query: Query | Aggregation) -> Row | None:
        """A row as it was at the time of a query; None where it was not."""
        if isinstance(query, Aggregation) or query.at is None:
            return row
        history = self._commits[row.head.resource_id]
        head = head_at(history, row.head, query.at)
        if head is None:
            return None
        place = next(place for place, commit in enumerate(history) if commit.version == head.version)
        index = self._indexes[head.resource_id][place]
        return Row(head, index, row_of(self._spec, head.meta, index))

    def _select(self, query: Query | Aggregation, places: Iterable[Place]) -> Iterator[Row]:
        """The rows at these places for which the query's condition holds."""
        for _, resource_id in places:
            row = self._row_at(self._rows[resource_id], query)
            if row is None or (row.head.is_deleted and not query.include_deleted):
                continue
            if holds(query.where, row.columns):
                yield row
