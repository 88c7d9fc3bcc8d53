"""Storage of one model: a view of its store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from autocrud.errors import ConfigurationError, DataCorrupted, RevisionNotFound
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.resource import RevisionInfo, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.blobs.arrivals import passing_reference
from autocrud.storage.blobs.store import ObjectBlobStore
from autocrud.storage.model_folder.contract import ModelContract
from autocrud.storage.model_folder.downgrades import DowngradeLearner
from autocrud.storage.model_folder.location import find_folder
from autocrud.storage.model_folder.schema_records import ObjectSchemaRecords
from autocrud.storage.ports.claims import claims_of, references_of
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.transactions import Transaction
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Outcome,
    Page,
    Revision,
    RevisionSpan,
    ScanItem,
    Write,
    abort_unless_all_accepted,
)
from autocrud.storage.ports.versions import VersionReader, head_size
from autocrud.storage.row_view import position_of
from autocrud.storage.store import Store

# Data up to this many bytes stands in the metadata, and is read with it.
INLINE_LIMIT = 16 * 1024

_READ_CONCURRENCY = 16  # of a page of what was, at a time: most of it is small, and stands in the log alone


class ModelStorage(IStorage):
    """Storage of one model of a store. It commits to the store, and reads from the metadata store of the model."""

    def __init__(self, spec: ModelSpec[Any], store: Store) -> None:
        self._spec = spec
        self._store = self.store = store
        self._with_timeout = store.with_timeout
        self._objects = store.engine.objects
        self._meta = store.engine.metadata(spec)
        self.schemas = ObjectSchemaRecords(self._objects, spec)
        self.versions = VersionReader(spec, DowngradeLearner(spec, self.schemas).learn)
        self._contract = ModelContract(spec, store)
        self._blobs = self.blobs = ObjectBlobStore(
            self._objects, spec.folder, self._find_blob, self._register, self._release
        )

    async def open(self) -> None:
        folder = await find_folder(self._objects, self._spec, self._store.engine.stored_models)
        if folder != self._spec.folder:
            self._spec.folder = folder
            self._meta = self._store.engine.metadata(self._spec)
            self._blobs.use_folder(folder)
        await self._meta.open()
        if await self._contract.publish():
            await self._fill_again()

    async def close(self) -> None:
        await self._store.wait_for_pending()  # other models may go on to write
        await self._meta.close()

    def prepare(self, write: Write) -> Outcome:
        write.model, write.rules = self._spec.folder, self._contract.rules
        if write.revision is not None:
            write.claims = claims_of(self._spec.unique_constraints, write.index)
            write.references = references_of(self._spec.index_fields, self._spec.reference_targets, write.index)
        return self.versions.refuse(write)

    async def commit(self, write: Write) -> None:
        if refusal := self.prepare(write):
            raise refusal
        ((error,),) = await self._store.commit([Transaction((write,))])
        if error is not None:
            raise error

    async def commit_all(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        refused: list[Outcome] = []
        time_slice = TimeSlice()
        for write in writes:
            refused.append(self.prepare(write))
            await time_slice.check()
        if atomic:
            if any(refused):
                return abort_unless_all_accepted(refused)
            return (await self._store.commit([Transaction(tuple(writes))]))[0] if writes else []
        accepted = [Transaction((write,)) for write, error in zip(writes, refused, strict=True) if error is None]
        found = iter(await self._store.commit(accepted) if accepted else ())
        return [next(found)[0] if error is None else error for error in refused]

    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        while True:
            found = await self._with_timeout(self._meta.get(resource_id, current))
            if found is None or found.data is not None or (found := await self._load_data(found)) is not None:
                return found if found is None or self.versions.is_current(found) else await self.versions.head(found)

    async def get_many(self, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        # The metadata store answers those that are asked for together in one go.
        found = await asyncio.gather(*(self.get(resource_id, current=current) for resource_id in set(resource_ids)))
        return {head.resource_id: head for head in found if head is not None}

    async def search(self, query: Query) -> Page:
        while True:
            heads = await self._with_timeout(self._meta.search(query))
            page = _cut_to_size(heads[: query.limit], query.max_bytes)
            has_next = len(heads) > len(page)
            items = await self._load_page_data(page, 1 if query.at is None else _READ_CONCURRENCY)
            complete = [head for head in items if head is not None]
            if len(complete) == len(items):
                complete = await self.versions.heads(complete)
                return Page(complete, position_of(self._spec, query, complete[-1]) if has_next else None)

    async def count(self, query: Query) -> int:
        return await self._with_timeout(self._meta.count(query))

    async def snapshot_scan(self, query: Query, *, history: bool = False) -> AsyncIterator[ScanItem]:
        pages: Any = self._meta.snapshot_scan(query, history)
        async with aclosing(pages):
            async for page in pages:
                for item in page:
                    complete = await self._load_data(item) if isinstance(item, Head) else item
                    if isinstance(complete, Head):
                        complete = await self.versions.head(complete)
                    if complete is not None:
                        yield complete

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        return await self._with_timeout(self._meta.aggregate(aggregation))

    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        return await self._with_timeout(self._meta.commits(resource_id, before, limit))

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        return await self._with_timeout(self._meta.commit_at(resource_id, time))

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        return await self._with_timeout(self._meta.revisions(resource_id, span))

    async def revision(self, resource_id: str, number: int, *, version: int | None = None) -> Revision | None:
        return await self._with_timeout(self._meta.revision(resource_id, number, version))

    async def data(self, item: Commit | Revision) -> bytes:
        if item.locator is not None:
            try:
                return await self._with_timeout(self._meta.read(item.locator))
            except DataCorrupted:
                if await self._is_data_kept(item):
                    raise
        raise RevisionNotFound(item.revision_id)

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        return await self._with_timeout(self._meta.blobs_of(resource_id, version))

    async def commit_of_blob(self, resource_id: str, file_id: str) -> Commit | None:
        version = await self._with_timeout(self._meta.version_of_blob(resource_id, file_id))
        if version is None:
            return None
        found = await self._with_timeout(self._meta.commits(resource_id, version + 1, 1))
        return found[0] if found and found[0].version == version else None

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        return await self._meta.expired_revisions(before, after, limit)

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        return await self._with_timeout(self._meta.pending_deletions(after, limit))

    async def complete(self, tasks: Sequence[OnDeleteTask]) -> None:
        await self._with_timeout(self._meta.complete(tasks))

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._meta.fill_indexes()

    async def index_other_versions(self) -> None:
        await self._meta.index_other_versions()

    async def vacuum(self) -> None:
        await self._meta.vacuum()
        await self._blobs.drop_expired_uploads()

    async def _fill_again(self) -> None:
        """Fill the claims of what was written until the contract was in the store, by processes without its rules.

        Raises:
            ConfigurationError: live resources share unique values. The contract is withdrawn.
        """
        try:
            await self._meta.close()
            await self._meta.open()
        except ConfigurationError:
            await self._contract.withdraw()
            raise

    async def _find_blob(self, file_id: str) -> Blob | None:
        return await self._meta.blob(file_id)

    async def _register(self, blob: Blob) -> Outcome:
        blob = replace(blob, model=self._spec.folder)
        return (await self._store.commit([Transaction((blob,))]))[0][0]

    async def _release(self, file_ids: Sequence[str]) -> None:
        """Erase blobs unless a resource refers to them, by the commit of a resource that is purged at once.

        A purge erases blobs that nothing refers to, in the same commit on each engine, so no write can lose its blob.
        """
        writes = passing_reference(file_ids, self._spec)
        for write in writes:
            if refusal := self.prepare(write):
                raise refusal
        (outcomes,) = await self._store.commit([Transaction(writes)])
        for refusal in outcomes:
            if refusal is not None:
                raise refusal

    async def _load_page_data(self, heads: Sequence[Head], concurrency: int) -> list[Head | None]:
        """The heads with their data, so many of them at a time: a page of large heads must not be a burst of reads."""
        items: list[Head | None] = list(heads)
        missing = [place for place, head in enumerate(heads) if head.data is None and head.locator]
        for start in range(0, len(missing), concurrency):
            places = missing[start : start + concurrency]
            found = await asyncio.gather(*(self._load_data(heads[place]) for place in places))
            for place, head in zip(places, found, strict=True):
                items[place] = head
        return items

    async def _load_data(self, head: Head) -> Head | None:
        """The head with its data; None where that was erased after the head was read."""
        if head.data is not None:
            return head
        try:
            return replace(head, data=await self._with_timeout(self._meta.read(head.locator)))
        except DataCorrupted:
            if await self._is_locator_current(head):
                raise
            return None

    async def _is_locator_current(self, head: Head) -> bool:
        """Return True if a head's data is still at its locator, as of now."""
        now = await self._with_timeout(self._meta.get(head.resource_id, True))
        if now is None or now.locator == head.locator:
            return now is not None
        number = revision_number(head.resource_id, RevisionInfo.model_validate_json(head.revision_info).revision_id)
        past = await self._with_timeout(self._meta.revision(head.resource_id, number, head.version))
        return past is not None and past.locator == head.locator

    async def _is_data_kept(self, item: Commit | Revision) -> bool:
        """Return True if a commit's data is still at its locator, as of now."""
        await self._with_timeout(self._meta.get(item.resource_id, True))  # brings what is behind up to now
        version = item.version if isinstance(item, Commit) else item.data_version
        found = await self._with_timeout(self._meta.commits(item.resource_id, version + 1, 1))
        return any(commit.locator == item.locator for commit in found)


def _cut_to_size(heads: Sequence[Head], max_bytes: int | None) -> Sequence[Head]:
    """Return the first heads, up to the head whose data reaches the size."""
    if max_bytes is None:
        return heads
    sizes = accumulate(map(head_size, heads))
    return heads[: next((number for number, size in enumerate(sizes, 1) if size >= max_bytes), len(heads))]
