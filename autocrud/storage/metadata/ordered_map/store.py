"""Metadata store over an ordered map: reads of one model. A query reads all resources of the model."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from autocrud.errors import IndexNotReady
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query, leaves
from autocrud.resource import ResourceMeta, timestamp
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.engine import ConversionError
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import (
    decode_blob,
    decode_commit,
    decode_head,
    decode_key,
    decode_tail,
)
from autocrud.storage.metadata.ordered_map.model_forms import ModelForms
from autocrud.storage.metadata.ordered_map.row_reader import RowReader, Selection
from autocrud.storage.metadata.scan.aggregate import aggregate
from autocrud.storage.metadata.scan.history import (
    commit_at,
    find_revision,
    find_revisions,
    has_expired_revision,
)
from autocrud.storage.metadata.scan.row_order import page_of
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.objects.ordered_map.keys import end_of, key_of, last_part, parts_of, prefix_of, scan
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.ordered_map import MapConflict, OrderedMap
from autocrud.storage.ports.query_limit import Deadline
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    CommitEntry,
    Head,
    IndexProgress,
    OnDeleteTask,
    Revision,
    RevisionSpan,
    ScanItem,
)

logger = logging.getLogger(__name__)


@refuse_unless_open(MetaStore)
class OrderedMapMetaStore(MetaStore):
    """Metadata of one model.

    Args:
        forms: forms of the models of the store. The metadata store attaches its model to them.
    """

    is_open = False

    def __init__(self, spec: ModelSpec[Any], ordered_map: OrderedMap, forms: ModelForms) -> None:
        self._spec = spec
        self._map = ordered_map
        self._forms = forms
        self._folder = spec.folder
        self._rows = RowReader(spec, ordered_map)

    async def open(self) -> None:
        if not self.is_open:
            await self._forms.attach(self._spec)
            self.is_open = True

    async def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._forms.detach(self._spec)

    async def get(self, resource_id: str, current: bool) -> Head | None:
        value = await self._value(layout.head_key((self._folder, resource_id)))
        return None if value is None else decode_head(value).head

    async def search(self, query: Query) -> list[Head]:
        page: list[Row] = []
        async for rows in self._select(query):
            page = page_of([*page, *rows], query)
        return [row.head for row in page]

    async def count(self, query: Query) -> int:
        found = 0
        async for rows in self._select(query):
            found += len(rows)
        return found if query.count_limit is None else min(found, query.count_limit)

    async def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        sequence = await self._sequence()
        pages: Any = self._select(query, sequence)
        async with aclosing(pages):
            async for rows in pages:
                if not history:
                    yield [row.head for row in rows]
                    continue
                for row in rows:
                    meta = ResourceMeta.model_validate_json(row.head.meta)
                    commits = await self._rows.history(row.head.resource_id, sequence)
                    yield [CommitEntry(commit, meta.created_time, meta.created_by) for commit in commits]

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        selection = Selection(
            aggregation.where, aggregation.include_deleted, _index_columns(aggregation.fields), await self._sequence()
        )
        names, columns = {field.column for field in aggregation.fields}, list[dict[str, Any]]()
        async for rows in self._pages(selection, Deadline()):
            columns += [{name: row.columns[name] for name in names} for row in rows]
        return await asyncio.to_thread(aggregate, aggregation, columns)

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        resource = (self._folder, resource_id)
        start = layout.commit_key(resource, layout.LATEST if before is None else before - 1)
        rows = scan(self._map, start, end_of(prefix_of("commit", *resource)), limit=limit)
        return [decode_commit(item.value).commit async for _, item in rows]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        return commit_at(await self._rows.history(resource_id), time)

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        return find_revisions(await self._rows.history(resource_id), span)

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        return find_revision(await self._rows.history(resource_id), resource_id, number, version)

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        value = await self._value(layout.commit_key((self._folder, resource_id), version))
        return [] if value is None else sorted(decode_commit(value).blobs)

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        prefix = prefix_of("blob_use", self._folder, file_id, resource_id)
        versions = [int(last_part(key), 16) async for key, _ in scan(self._map, prefix, end_of(prefix))]
        return max(versions, default=None)

    async def blob(self, file_id: str) -> Blob | None:
        value = await self._value(layout.blob_key((self._folder, file_id)))
        return None if value is None else decode_blob(value)

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        found: list[str] = []
        start = end_of(prefix_of("commit", self._folder, after)) if after else prefix_of("commit", self._folder)
        histories: Any = self._histories(start)
        async with aclosing(histories):
            async for history in histories:
                if has_expired_revision(history, before):
                    found.append(history[0].resource_id)
                if len(found) == limit:
                    break
        return found

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        prefix = prefix_of("task", self._folder)
        start = prefix if after is None else layout.task_key(self._folder, after) + b"\0"
        found: list[OnDeleteTask] = []
        async for key, item in scan(self._map, start, end_of(prefix), limit=limit):
            _, resource_id, time = parts_of(key)
            found.append(OnDeleteTask(resource_id, time, item.value.decode() or None))
        return found

    async def complete(self, tasks: Sequence[OnDeleteTask]) -> None:
        await self._map.commit({}, dict.fromkeys(layout.task_key(self._folder, task) for task in tasks))

    async def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        no_columns: tuple[IndexProgress, ...] = ()  # queries compute the values
        for progress in no_columns:
            yield progress

    async def vacuum(self) -> None:
        now, prefix = timestamp(datetime.now(UTC)), prefix_of("key", self._folder)
        async for key, item in scan(self._map, prefix, end_of(prefix)):
            stored = decode_key(item.value)
            if stored.expires < now:
                use = key_of("key_of", self._folder, stored.resource_id, last_part(key))
                try:
                    await self._map.commit({key: item.version}, {key: None, use: None})
                except MapConflict:
                    continue  # another request has the key now, or the resource was purged

    async def read(self, locator: str) -> bytes:
        return await self._rows.read(locator)

    async def _select(self, query: Query, sequence: int | None = None) -> AsyncIterator[list[Row]]:
        """Yield the rows that match a query in pages, in order of id."""
        fields: list[Any] = [*(leaf.field for leaf in leaves(query.where)), *(key.field for key in query.sort)]
        is_scan = sequence is not None  # a scan takes as long as its reader
        if sequence is None:
            sequence = await self._sequence()
        selection = Selection(query.where, query.include_deleted, _index_columns(fields), sequence, query.at)
        pages: Any = self._pages(selection, None if is_scan else Deadline())
        async with aclosing(pages):
            async for rows in pages:
                yield rows

    async def _pages(self, selection: Selection, deadline: Deadline | None) -> AsyncIterator[list[Row]]:
        pages: Any = self._rows.pages(selection)
        try:
            async with aclosing(pages):
                async for rows in pages:
                    if deadline is not None:
                        deadline.check()
                    yield rows
        except ConversionError as error:
            logger.error("%s: the index field %s cannot be read: %s", self._spec.name, error.field.name, error)
            raise IndexNotReady(self._spec.name, error.field.name, None) from error

    async def _histories(self, start: bytes) -> AsyncIterator[list[Commit]]:
        """Yield the commits of each resource, oldest first, in order of id."""
        newest_first: list[Commit] = []
        async for _, item in scan(self._map, start, end_of(prefix_of("commit", self._folder))):
            commit = decode_commit(item.value).commit
            if newest_first and newest_first[0].resource_id != commit.resource_id:
                yield newest_first[::-1]
                newest_first = []
            newest_first.append(commit)
        if newest_first:
            yield newest_first[::-1]

    async def _sequence(self) -> int:
        return decode_tail(await self._value(layout.TAIL)).sequence

    async def _value(self, key: bytes) -> bytes | None:
        item = (await self._map.get([key])).get(key)
        return None if item is None else item.value


def _index_columns(fields: Iterable[IndexField]) -> set[str]:
    """Return the columns of the fields of the model."""
    return {field.column for field in fields if not field.is_meta}
