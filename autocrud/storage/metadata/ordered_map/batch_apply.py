"""Applies the accepted items of a batch to a staged map. `decide` has judged them; nothing is refused here."""

from collections.abc import Collection, Sequence

from autocrud.resource import revision_number, timestamp
from autocrud.storage.decision.state import NamedKey, ResourceKey, StoredKey
from autocrud.storage.decision.writes import state_after
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import (
    StoredCommit,
    StoredHead,
    Tail,
    decode_commit,
    decode_head,
    decode_key,
    decode_tail,
    encode_blob,
    encode_change,
    encode_commit,
    encode_head,
    encode_key,
    encode_tail,
)
from autocrud.storage.metadata.ordered_map.index_rows import move_index_rows
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap
from autocrud.storage.objects.ordered_map.keys import key_of, last_part, prefix_of
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.transactions import Position, StoreChange
from autocrud.storage.ports.types import Blob, Head, Item, Write, commit_of, on_delete_task_of

# Data up to this many bytes stands in the head, and is read with it.
_INLINE_LIMIT = 16 * 1024


class BatchApply:
    """Applies the accepted items of one batch in order, and collects the blobs that they release.

    Args:
        noted_models: folders of the models whose written resources are noted; see `model_forms`.
    """

    def __init__(self, staged: StagedMap, noted_models: Collection[str]) -> None:
        self._staged = staged
        self._noted_models = noted_models
        self._released: dict[NamedKey, None] = {}

    async def apply(self, items: Sequence[Item]) -> list[NamedKey]:
        """Apply the items as the next batch. Return the blobs that no resource refers to any more."""
        staged, tail = self._staged, decode_tail(await self._staged.get(layout.TAIL))
        sequence, last = tail.sequence + 1, tail.last
        for model in {item.model for item in items if not isinstance(item, Contract)}:
            if await staged.get(layout.model_key(model)) is None:
                staged.put(layout.model_key(model), b"")
        time_slice = TimeSlice()  # a map may answer without a turn of the event loop
        for ordinal, item in enumerate(items):
            await time_slice.check()
            if isinstance(item, Contract):
                staged.put(layout.contract_key(item.model), item.to_json())
            elif isinstance(item, Blob):
                staged.put(layout.blob_key((item.model, item.file_id)), encode_blob(item))
            else:
                last = Position(sequence, ordinal)
                await self._write(item, last)
        staged.put(layout.TAIL, encode_tail(Tail(sequence, last)))
        # At the end of the batch, because a later write may refer to a blob that an earlier write released.
        return [blob for blob in self._released if not await staged.range(prefix_of("blob_use", *blob), 1)]

    async def _write(self, write: Write, position: Position) -> None:
        staged, resource = self._staged, (write.model, write.meta.resource_id)
        stored = await staged.get(layout.head_key(resource))
        before = None if stored is None else decode_head(stored)
        state = state_after(write, None if before is None else before.state)
        move_index_rows(staged, resource, None if before is None else before.state, state)
        if write.key is not None:
            key = StoredKey(write.key.fingerprint, write.key.expires, write.meta.resource_id)
            staged.put(layout.request_key((write.model, write.key.key)), encode_key(key))
            staged.put(key_of("key_of", *resource, write.key.key), b"")
        if write.has_task:
            task = on_delete_task_of(write)
            staged.put(layout.task_key(write.model, task), (task.by or "").encode())
        if state is None:
            await self._forget(resource)
        else:
            locator = None if write.data is None else layout.locator_of(position, write.data)
            head = _head_after(write, None if before is None else before.head, locator)
            staged.put(layout.head_key(resource), encode_head(StoredHead(head, state, position.sequence)))
            await self._record(write, position, locator)
        if write.model in self._noted_models:
            staged.put(layout.stale_key(*resource), b"")
        change = StoreChange(position, write.model, write.meta.resource_id, write.meta.version, write.kind)
        staged.put(layout.change_key(position), encode_change(change))

    async def _record(self, write: Write, position: Position, locator: str | None) -> None:
        """Add a write to the history of its resource."""
        staged, resource = self._staged, (write.model, write.meta.resource_id)
        if locator is not None:
            for key, chunk in layout.chunks_of(locator, write.data or b"").items():
                staged.put(key, chunk)
        for file_id in write.blobs:
            staged.put(layout.blob_use_key((write.model, file_id), resource[1], write.meta.version), b"")
        self._put_commit(resource, StoredCommit(commit_of(write, locator), position, write.blobs))
        if write.prunes:
            for stored in await self._history(resource):
                commit = stored.commit
                is_pruned = revision_number(resource[1], commit.revision_id) <= write.prunes
                if is_pruned and commit.locator and commit.revision_id != write.meta.current_revision_id:
                    self._erase_data(resource, stored)
                    self._put_commit(resource, stored.without_data())

    async def _forget(self, resource: ResourceKey) -> None:
        """Erase a purged resource."""
        staged = self._staged
        staged.delete(layout.head_key(resource))
        for stored in await self._history(resource):
            self._erase_data(resource, stored)
            staged.delete(layout.commit_key(resource, stored.commit.version))
            staged.delete(layout.change_key(stored.position))
        for key, _ in await staged.range(prefix_of("key_of", *resource)):
            staged.delete(key)
            request_key = layout.request_key((resource[0], last_part(key)))
            value = await staged.get(request_key)
            if value is not None and decode_key(value).resource_id == resource[1]:
                staged.delete(request_key)

    async def _history(self, resource: ResourceKey) -> list[StoredCommit]:
        return [decode_commit(value) for _, value in await self._staged.range(prefix_of("commit", *resource))]

    def _put_commit(self, resource: ResourceKey, stored: StoredCommit) -> None:
        self._staged.put(layout.commit_key(resource, stored.commit.version), encode_commit(stored))

    def _erase_data(self, resource: ResourceKey, stored: StoredCommit) -> None:
        """Delete the data of a commit, and release its blobs."""
        for key in () if stored.commit.locator is None else layout.data_keys(stored.commit.locator):
            self._staged.delete(key)
        for file_id in stored.blobs:
            blob = (resource[0], file_id)
            self._staged.delete(layout.blob_use_key(blob, resource[1], stored.commit.version))
            self._released[blob] = None


def _head_after(write: Write, before: Head | None, locator: str | None) -> Head:
    """Return the head of a resource after a write."""
    meta = write.meta
    if write.revision_json is not None:
        # An imported revision may have no data, because its data was pruned. A later write of the batch has data.
        data = write.data or b""
        revision_json, inline = write.revision_json, data if len(data) <= _INLINE_LIMIT else None
    elif before is not None:
        revision_json, inline, locator = before.revision_info, before.data, before.locator
    else:
        raise ValueError("a resource begins with data")
    created_time = timestamp(meta.created_time)
    return Head(
        meta.resource_id, meta.version, meta.is_deleted, created_time, write.meta_json, revision_json, inline,
        locator or "",
    )  # fmt: skip
