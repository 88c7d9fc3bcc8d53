"""Row reader: reads all resources of a model from an ordered map, each as it was after one batch."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.query.conditions import Condition
from autocrud.query.evaluate import holds
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import StoredHead, decode_commit, decode_head
from autocrud.storage.metadata.ordered_map.value_cache import ValueCache
from autocrud.storage.metadata.scan.history import commit_at, head_after
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.objects.ordered_map.keys import end_of, prefix_of, scan
from autocrud.storage.ports.ordered_map import OrderedMap
from autocrud.storage.ports.types import Commit, Head
from autocrud.storage.ports.versions import head_version
from autocrud.storage.row_view import row_of

logger = logging.getLogger(__name__)

_PAGE_SIZE = 200
_READ_CONCURRENCY = 16  # data of past states and large data, at a time


class RowReader:
    """Reads the resources of one model. Index values are computed from the data by the model's code."""

    def __init__(self, spec: ModelSpec[Any], ordered_map: OrderedMap) -> None:
        self.spec = spec
        self._map = ordered_map
        self._folder = spec.folder
        self._stored_index = StoredIndex(spec)
        self._cache = ValueCache()
        self._no_values: tuple[IndexValue, ...] = (None,) * len(spec.index_fields)

    async def pages(
        self, where: Condition | None, include_deleted: bool, sequence: int, at: datetime | None, *, has_values: bool
    ) -> AsyncIterator[list[Row]]:
        """Yield the matching resources in order of id, page by page, as of a batch.

        A resource that is purged meanwhile may be left out.

        Args:
            sequence: number of the batch. Later writes are not seen.
            at: time of the states to read; None for the state after the batch.
            has_values: compute index values; else they are null.
        """
        self._stored_index.reset()
        heads: Any = self._head_pages()
        async with aclosing(heads):
            async for page in heads:
                states = await self._states_at(page, sequence, at)
                found = [head for head in states if include_deleted or not head.is_deleted]
                rows = await self.rows_of(found, has_values=has_values)
                yield [row for row in rows if holds(where, row.columns)]
        self._stored_index.report()

    async def history(self, resource_id: str, sequence: int) -> list[Commit]:
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

    async def _head_pages(self) -> AsyncIterator[list[StoredHead]]:
        prefix = prefix_of("head", self._folder)
        page: list[StoredHead] = []
        items: Any = scan(self._map, prefix, end_of(prefix))
        async with aclosing(items):
            async for _, item in items:
                page.append(decode_head(item.value))
                if len(page) == _PAGE_SIZE:
                    yield page
                    page = []
        if page:
            yield page

    async def _states_at(self, page: Sequence[StoredHead], sequence: int, at: datetime | None) -> list[Head]:
        """Return the resources that existed as of a batch or a time before it."""
        if at is None and all(stored.sequence <= sequence for stored in page):
            return [stored.head for stored in page]
        found: list[Head | None] = []
        for start in range(0, len(page), _READ_CONCURRENCY):
            chunk = page[start : start + _READ_CONCURRENCY]
            found += await asyncio.gather(*(self._state_at(stored, sequence, at) for stored in chunk))
        return [head for head in found if head is not None]

    async def _state_at(self, stored: StoredHead, sequence: int, at: datetime | None) -> Head | None:
        if at is None and stored.sequence <= sequence:
            return stored.head
        history = await self.history(stored.head.resource_id, sequence)
        commit = commit_at(history, at) if at is not None else next(reversed(history), None)
        return None if commit is None else head_after(history, commit, stored.head)

    async def rows_of(self, heads: Sequence[Head], *, has_values: bool = True) -> list[Row]:
        """Return the rows of heads in the same order.

        Args:
            has_values: compute index values; else they are null.
        """
        values = await self._values_of(heads) if has_values and self.spec.index_fields else {}
        return [self._row_of(head, values.get(head.resource_id, self._no_values)) for head in heads]

    def _row_of(self, head: Head, index: tuple[IndexValue, ...]) -> Row:
        return Row(head, index, row_of(self.spec, head.meta, index), (head.created_time, head.resource_id))

    async def _values_of(self, heads: Sequence[Head]) -> dict[str, tuple[IndexValue, ...]]:
        """Return the index values of heads by id. Heads without data are left out."""
        cached = {head.resource_id: self._cache.get(head.locator) for head in heads}
        found = {resource_id: values for resource_id, values in cached.items() if values is not None}
        missing = [head for head in heads if head.resource_id not in found]
        if missing:
            data = await self._load_data(missing)
            # Steps and large documents may be slow, and the event loop must not wait for them.
            found |= await asyncio.to_thread(self._compute, missing, data)
        return found

    def _compute(self, heads: Sequence[Head], data: dict[str, bytes]) -> dict[str, tuple[IndexValue, ...]]:
        found: dict[str, tuple[IndexValue, ...]] = {}
        for head in heads:
            if (stored := data.get(head.resource_id)) is None:
                continue
            version = head_version(head)
            found[head.resource_id] = self._stored_index.stored_values(head.resource_id, stored, version)
            # Values of another version may change, when a downgrade becomes known. They also count for the report.
            if self._stored_index.is_current(version):
                self._cache.add(head.locator, found[head.resource_id], len(stored))
        return found

    async def _load_data(self, heads: Iterable[Head]) -> dict[str, bytes]:
        """Return the data of heads by id. Data that was pruned is left out."""
        found = {head.resource_id: head.data for head in heads if head.data}
        missing = [head for head in heads if head.data is None and head.locator]
        for start in range(0, len(missing), _READ_CONCURRENCY):
            chunk = missing[start : start + _READ_CONCURRENCY]
            for head, data in zip(chunk, await asyncio.gather(*map(self._try_read, chunk)), strict=True):
                if data is not None:
                    found[head.resource_id] = data
        return found

    async def _try_read(self, head: Head) -> bytes | None:
        try:
            return await self.read(head.locator)
        except DataCorrupted as error:  # or it was erased meanwhile
            logger.error("%s: %r has no index values: %s", self.spec.name, head.resource_id, error)
            return None
