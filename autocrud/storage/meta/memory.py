"""Heads and commits in dicts. It stores what the others store, and answers in their order."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from autocrud.errors import AlreadyExists, Conflict, UniqueViolation
from autocrud.fields import ColumnValue, IndexField
from autocrud.query.conditions import Position, Query
from autocrud.resource import CommitKind, timestamp
from autocrud.storage.base import Commit, Head, MetaStore, Outcome, Page, Write, commit_of

# An ordered index: of one value of one field, or of everything.
_Key = tuple[str, ColumnValue]
_LIVE: _Key = ("", "live")
_ALL: _Key = ("", "all")


@dataclass(slots=True)
class _Row:
    head: Head
    index: tuple[ColumnValue, ...]


class MemoryMetaStore(MetaStore):
    """Everything of one model in this process, gone with it."""

    def __init__(self, index_fields: Sequence[IndexField]) -> None:
        self._fields = tuple(index_fields)
        self._rows: dict[str, _Row] = {}
        self._commits: dict[str, list[Commit]] = {}
        self._data: dict[str, bytes] = {}
        self._order: defaultdict[_Key, list[Position]] = defaultdict(list)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def commit(self, batch: Sequence[Write]) -> list[Outcome]:
        return [self._apply(write) for write in batch]

    async def get(self, resource_id: str, current: bool) -> Head | None:
        row = self._rows.get(resource_id)
        return None if row is None else row.head

    async def search(self, query: Query) -> Page:
        places, wanted = self._places(query), self._wanted(query)
        end = len(places) if query.after is None else bisect_left(places, query.after)
        heads: list[Head] = []
        for number in range(end - 1, -1, -1):
            row = self._rows[places[number].resource_id]
            if all(row.index[number] == value for number, value in wanted):
                if len(heads) == query.limit:
                    return Page(heads, heads[-1].position)
                heads.append(row.head)
        return Page(heads, None)

    async def count(self, query: Query) -> int:
        places, wanted = self._places(query), self._wanted(query)
        if not wanted:
            return len(places)
        rows = (self._rows[place.resource_id] for place in places)
        return sum(all(row.index[number] == value for number, value in wanted) for row in rows)

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        history = self._commits.get(resource_id, [])
        return [commit for commit in reversed(history) if before is None or commit.version < before][:limit]

    async def read(self, locator: str) -> bytes:
        return self._data[locator]

    def _apply(self, write: Write) -> Outcome:
        resource_id = write.meta.resource_id
        row = self._rows.get(resource_id)
        if write.follows == 0 and row is not None:
            return AlreadyExists(resource_id)
        if write.follows != (row.head.version if row else 0):
            return Conflict(resource_id, write.follows)
        new = None if write.kind is CommitKind.purge else self._row_after(write, row)
        if new is not None and (taken := self._taken(new)) is not None:
            return UniqueViolation(taken)
        if row is not None:
            self._unlist(row)
        if new is None:
            self._forget(resource_id)
        else:
            self._rows[resource_id] = new
            self._enlist(new)
            self._record(write)
        return None

    def _row_after(self, write: Write, row: _Row | None) -> _Row:
        meta = write.meta
        locator = f"{meta.resource_id}/{meta.version}"
        if write.data is not None and write.revision_json is not None:
            revision_json, data, index = write.revision_json, write.data, write.index
        elif row is not None and row.head.data is not None:
            revision_json, data, index, locator = (
                row.head.revision_info, row.head.data, row.index, row.head.locator,
            )  # fmt: skip
        else:
            raise ValueError("a resource begins with data")
        created_time = timestamp(meta.created_time)
        head = Head(
            meta.resource_id, meta.version, meta.is_deleted, created_time, write.meta_json, revision_json, data, locator
        )
        return _Row(head, index)

    def _taken(self, new: _Row) -> str | None:
        """The unique field whose value another live resource holds."""
        if new.head.is_deleted:
            return None
        for field, value in zip(self._fields, new.index, strict=True):
            holders = self._order.get((field.name, value), []) if field.unique and value is not None else []
            if any(holder.resource_id != new.head.resource_id for holder in holders):
                return field.name
        return None

    def _record(self, write: Write) -> None:
        resource_id = write.meta.resource_id
        locator = None
        if write.data is not None:
            locator = f"{resource_id}/{write.meta.version}"
            self._data[locator] = write.data
        self._commits.setdefault(resource_id, []).append(commit_of(write, locator))

    def _forget(self, resource_id: str) -> None:
        del self._rows[resource_id]
        for commit in self._commits.pop(resource_id):
            if commit.locator is not None:
                del self._data[commit.locator]

    def _keys(self, row: _Row) -> list[_Key]:
        if row.head.is_deleted:
            return [_ALL]
        pairs = zip(self._fields, row.index, strict=True)
        return [_ALL, _LIVE, *((field.name, value) for field, value in pairs if value is not None)]

    def _enlist(self, row: _Row) -> None:
        for key in self._keys(row):
            insort(self._order[key], row.head.position)

    def _unlist(self, row: _Row) -> None:
        for key in self._keys(row):
            places = self._order[key]
            del places[bisect_left(places, row.head.position)]
            if not places:
                del self._order[key]

    def _places(self, query: Query) -> list[Position]:
        """The shortest ordered index that holds all that the query selects, oldest first."""
        if any(condition.value is None for condition in query.where):
            return []
        if query.include_deleted:
            return self._order.get(_ALL, [])
        lists = [self._order.get((condition.field, condition.value), []) for condition in query.where]
        return min(lists, key=len) if lists else self._order.get(_LIVE, [])

    def _wanted(self, query: Query) -> list[tuple[int, ColumnValue]]:
        """What is still to be checked of each row: the index value's number, and the value."""
        if len(query.where) == 1 and not query.include_deleted:
            return []
        numbers = {field.name: number for number, field in enumerate(self._fields)}
        return [(numbers[condition.field], condition.value) for condition in query.where]
