"""Row reader: reads all resources of a model from an ordered map, each as it was after one batch."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.query.conditions import Condition
from autocrud.query.evaluate import holds
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import StoredHead, decode_commit
from autocrud.storage.metadata.ordered_map.index_values import IndexValues
from autocrud.storage.metadata.ordered_map.row_cache import CachedHead, RowCache
from autocrud.storage.metadata.scan.history import commit_at, head_after
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.objects.ordered_map.keys import end_of, prefix_of, scan
from autocrud.storage.ports.ordered_map import OrderedMap
from autocrud.storage.ports.types import Commit, Head
from autocrud.storage.row_view import row_of

_PAGE_SIZE = 100
_READ_CONCURRENCY = 16  # of past states


@dataclass(frozen=True, slots=True)
class Selection:
    """Resources to read.

    Args:
        columns: columns of the index fields in use. Index values are null if there are none.
        sequence: number of the last batch to see.
        at: time of the states to read; None for the state after the last batch.
    """

    where: Condition | None = None
    include_deleted: bool = False
    columns: Collection[str] = ()
    sequence: int = layout.LATEST
    at: datetime | None = None


class RowReader:
    """Reads the resources of one model."""

    def __init__(self, spec: ModelSpec[Any], ordered_map: OrderedMap) -> None:
        self.spec = spec
        self._map = ordered_map
        self._folder = spec.folder
        self._values = IndexValues(spec, self.read)
        self._cache = RowCache()

    async def pages(self, selection: Selection) -> AsyncIterator[list[Row]]:
        """Yield the selected resources in order of id, page by page. Resources purged meanwhile may be left out.

        Raises:
            ConversionError: stored data does not fit a column in use.
        """
        self._values.begin_scan()
        prefix, where = prefix_of("head", self._folder), selection.where
        page: list[tuple[bytes, CachedHead]] = []
        items: Any = scan(self._map, prefix, end_of(prefix), page_size=_PAGE_SIZE)
        async with aclosing(items):
            async for key, item in items:
                page.append((key, self._cache.head_of(key, item)))
                if len(page) == _PAGE_SIZE:
                    yield [row for row in await self._select(page, selection) if holds(where, row.columns)]
                    page = []
        yield [row for row in await self._select(page, selection) if holds(where, row.columns)]
        self._values.end_scan()

    async def rows_of(self, heads: Sequence[Head]) -> list[Row]:
        """Return the rows of heads, in the same order. A value that does not fit its column is null."""
        computed = await self._values.compute(heads)
        return [self._row_of(head, item.values) for head, item in zip(heads, computed, strict=True)]

    async def history(self, resource_id: str, sequence: int = layout.LATEST) -> list[Commit]:
        """Return the commits of a resource up to a batch, oldest first."""
        prefix = prefix_of("commit", self._folder, resource_id)
        found = [decode_commit(item.value) async for _, item in scan(self._map, prefix, end_of(prefix))]
        return [stored.commit for stored in reversed(found) if stored.position.sequence <= sequence]

    async def read(self, locator: str) -> bytes:
        """Return the data at a locator.

        Raises:
            DataCorrupted: the bytes do not exist, or differ from the stored bytes.
        """
        keys = layout.data_keys(locator) if locator else []
        items = await self._map.get(keys)
        if not locator or len(items) < len(keys):
            raise DataCorrupted(f"The data at {locator or 'no place'} is lost.")
        return layout.check_data(locator, b"".join(items[key].value for key in keys))

    async def _select(self, page: Sequence[tuple[bytes, CachedHead]], selection: Selection) -> list[Row]:
        """Return the rows of a page as of the batch or the time, in order of id, before the condition is checked."""
        at, sequence = selection.at, selection.sequence
        current = [(key, head) for key, head in page if at is None and head.stored.sequence <= sequence]
        later = [head.stored for _, head in page if at is not None or head.stored.sequence > sequence]
        rows = await self._current_rows(current, selection)
        if later:
            rows += await self._past_rows(later, selection)
            rows.sort(key=lambda row: row.head.resource_id.encode())
        return rows if selection.include_deleted else [row for row in rows if not row.head.is_deleted]

    async def _current_rows(self, heads: Sequence[tuple[bytes, CachedHead]], selection: Selection) -> list[Row]:
        if not selection.columns:
            no_values = self._values.no_values.values
            return [cached.row or self._row_of(cached.stored.head, no_values) for _, cached in heads]
        missing = [(key, cached) for key, cached in heads if cached.row is None]
        computed = await self._values.compute([cached.stored.head for _, cached in missing])
        for (key, cached), item in zip(missing, computed, strict=True):
            cached.row = self._row_of(cached.stored.head, item.values)
            cached.faults = item.faults
            if item.is_final:
                self._cache.add(key, cached)
        for _, cached in heads:
            for fault in cached.faults:
                if fault.field.column in selection.columns:
                    raise fault
        return [cached.row for _, cached in heads if cached.row is not None]

    async def _past_rows(self, heads: Sequence[StoredHead], selection: Selection) -> list[Row]:
        states: list[Head | None] = []
        for start in range(0, len(heads), _READ_CONCURRENCY):
            chunk = heads[start : start + _READ_CONCURRENCY]
            states += await asyncio.gather(*(self._past_state(stored, selection) for stored in chunk))
        found = [head for head in states if head is not None]
        if selection.columns:
            return await self.rows_of(found)
        return [self._row_of(head, self._values.no_values.values) for head in found]

    async def _past_state(self, stored: StoredHead, selection: Selection) -> Head | None:
        """Return a resource as of the batch or the time; None if the resource did not exist."""
        history = await self.history(stored.head.resource_id, selection.sequence)
        commit = commit_at(history, selection.at) if selection.at else next(reversed(history), None)
        return None if commit is None else head_after(history, commit, stored.head)

    def _row_of(self, head: Head, index: tuple[IndexValue, ...]) -> Row:
        return Row(head, index, row_of(self.spec, head.meta, index), (head.created_time, head.resource_id))
