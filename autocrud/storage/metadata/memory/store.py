"""Metadata store in dicts. It gives the same answers as the SQL engines, in the same order."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from autocrud.errors import DataCorrupted
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.resource import timestamp
from autocrud.storage.metadata.memory.past_search import past_rows, search_past
from autocrud.storage.metadata.memory.snapshot_scan import snapshot_scan
from autocrud.storage.metadata.memory.store_tables import StoreTables
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.metadata.scan.aggregate import aggregate
from autocrud.storage.metadata.scan.history import commit_at, find_revision, find_revisions, has_expired_revision
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Revision,
    RevisionSpan,
    ScanItem,
)


@refuse_unless_open(MetaStore)
class MemoryMetaStore(MetaStore):
    """Metadata of one model: reads from tables that the engine writes.

    Args:
        store: the tables that the models share.
        attach: returns the tables of the model.
    """

    is_open = False
    _tables: MemoryTables

    def __init__(self, store: StoreTables, attach: Callable[[], MemoryTables]) -> None:
        self._store = store
        self._attach = attach

    async def open(self) -> None:
        if not self.is_open:
            await self._store.wait_until_applied()
            self._tables = self._attach()
            self._tables.open_count += 1
            self.is_open = True

    async def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._tables.open_count -= 1

    async def get(self, resource_id: str, current: bool) -> Head | None:
        await self._store.wait_until_applied()
        row = self._tables.rows.get(resource_id)
        return None if row is None else row.head

    async def search(self, query: Query) -> list[Head]:
        await self._store.wait_until_applied()
        tables, at = self._tables, query.at
        rows = tables.row_index.search(query) if at is None else search_past(tables, query, at)
        return [row.head for row in rows]

    async def count(self, query: Query) -> int:
        await self._store.wait_until_applied()
        if query.at is None:
            return self._tables.row_index.count(query)
        return sum(1 for _ in islice(self._select(query), query.count_limit))

    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        return self._scan(query, history)

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        await self._store.wait_until_applied()
        rows = self._tables.row_index.select(aggregation.where, aggregation.include_deleted)
        return aggregate(aggregation, (row.columns for row in rows))

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        await self._store.wait_until_applied()
        history = self._tables.commits.get(resource_id, [])
        return [commit for commit in reversed(history) if before is None or commit.version < before][:limit]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        await self._store.wait_until_applied()
        return commit_at(self._tables.commits.get(resource_id, []), time)

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        await self._store.wait_until_applied()
        return find_revisions(self._tables.commits.get(resource_id, []), span)

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        await self._store.wait_until_applied()
        return find_revision(self._tables.commits.get(resource_id, []), resource_id, number, version)

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        await self._store.wait_until_applied()
        return sorted(self._tables.references.get(resource_id, {}).get(version, ()))

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        await self._store.wait_until_applied()
        references = self._tables.references.get(resource_id, {})
        return max((version for version, file_ids in references.items() if file_id in file_ids), default=None)

    async def blob(self, file_id: str) -> Blob | None:
        await self._store.wait_until_applied()
        return self._tables.blobs.get(file_id)

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        await self._store.wait_until_applied()
        return [
            resource_id
            for resource_id, history in sorted(self._tables.commits.items())
            if resource_id > after and has_expired_revision(history, before)
        ][:limit]

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        await self._store.wait_until_applied()
        return sorted(item for item in self._tables.pending if after is None or item > after)[:limit]

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        await self._store.wait_until_applied()
        self._tables.pending = dict.fromkeys(self._tables.pending.keys() - set(done))

    async def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        no_columns: tuple[IndexProgress, ...] = ()  # writes fill all columns, and the data ends with the process
        for progress in no_columns:
            yield progress

    async def vacuum(self) -> None:
        await self._store.wait_until_applied()
        self._store.drop_expired_keys(self._tables.spec.folder, timestamp(datetime.now(UTC)))

    async def read(self, locator: str) -> bytes:
        await self._store.wait_until_applied()
        try:
            return self._tables.data[locator]
        except KeyError:
            raise DataCorrupted(f"{locator} is lost.") from None

    async def _scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        await self._store.wait_until_applied()
        heads = (row.head for row in self._select(query))
        async for page in snapshot_scan(heads, self._tables.commits if history else None):
            yield page

    def _select(self, query: Query) -> Iterator[Row]:
        """Return the rows that match a query, in order of creation."""
        if query.at is None:
            return self._tables.row_index.select(query.where, query.include_deleted)
        return past_rows(self._tables, query, query.at)
