"""Compensation: takes committed writes back if the target of a new reference was deleted meanwhile."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import Conflict
from autocrud.references.graph import ModelNode, Reference
from autocrud.references.on_delete import OnDeleteRunner
from autocrud.references.referrer_writes import author_after, meta_of, next_revision
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.schema.binary import binaries
from autocrud.storage.ports.types import Head, Write, on_delete_task_of
from autocrud.versioning.write_builder import Encoded, modify_write, next_meta, switch_write


class Compensator:
    """Takes back writes of one model by further commits. The history keeps the write and the compensation."""

    def __init__(self, node: ModelNode, followers: OnDeleteRunner) -> None:
        self._node = node
        self._storage = node.storage
        self._on_delete = followers

    async def compensate(self, writes: Sequence[tuple[Write, Head | None, Sequence[Reference]]]) -> None:
        """Take back committed writes, the last one first, because a resource may have several.

        Args:
            writes: each write with the resource before it, and the references that it newly set.
        """
        versions: dict[str, int] = {}
        for write, before, references in reversed(writes):
            resource_id = write.meta.resource_id
            version = versions.get(resource_id, write.meta.version)
            versions[resource_id] = await self._compensate(write, before, version, references)

    async def _compensate(
        self, write: Write, before: Head | None, version: int, references: Sequence[Reference]
    ) -> int:
        """Take back a write. If later writes followed, remove only its references. Return the new version.

        Args:
            version: expected version, if no other write followed.
        """
        while True:
            head = await self._storage.get(write.meta.resource_id, current=True)
            if head is None or (head.is_deleted and write.kind is not CommitKind.delete):
                return 0  # a cascade deleted it together with its target
            if write.kind is CommitKind.delete and not head.is_deleted:
                return head.version
            undoing = await self._undoing(write, before, head, head.version == version, references)
            try:
                await self._storage.commit(undoing)
            except Conflict:
                continue
            if undoing.has_task:
                await self._on_delete.run(self._node, [on_delete_task_of(undoing)])
            return undoing.meta.version

    async def _undoing(
        self, write: Write, before: Head | None, head: Head, is_last: bool, references: Sequence[Reference]
    ) -> Write:
        meta, spec = meta_of(head), self._node.spec
        writer = author_after(write.meta.updated_by, meta)
        if write.kind is CommitKind.delete:
            return Write(CommitKind.restore, meta.version, next_meta(meta, writer, is_deleted=False))
        if before is None and is_last:
            deletion = next_meta(meta, writer, is_deleted=True, created_by=None)
            return Write(CommitKind.purge, meta.version, deletion, has_task=self._on_delete.has_actions(self._node))
        if before is None or before.is_deleted:
            deletion = next_meta(meta, writer, is_deleted=True)
            return Write(CommitKind.delete, meta.version, deletion, has_task=self._on_delete.has_actions(self._node))
        if before.data is None or head.data is None:
            raise before.fault or head.fault or LookupError("a storage hands out heads with their data")
        if not is_last:
            return await self._restore_references(meta, head.data, before.data, references, write.meta.updated_by)
        revision = RevisionInfo.model_validate_json(before.revision_info)
        encoded = Encoded(before.data, self._blobs(before.data), before.stored)
        if write.kind is CommitKind.modify:
            return modify_write(spec, meta, revision, encoded, writer, revision.status)
        return switch_write(spec, meta, revision, encoded, writer)

    async def _restore_references(
        self, meta: ResourceMeta, data: bytes, old: bytes, references: Sequence[Reference], by: str | None
    ) -> Write:
        """Return a revision with the old references and all other later changes."""
        value = from_json(data)
        for reference in references:
            value = _restore_path(value, from_json(old), reference.field.path)
        restored = to_json(value)
        return await next_revision(self._node, meta, Encoded(restored, self._blobs(restored)), by)

    def _blobs(self, data: bytes) -> tuple[str, ...]:
        if not self._node.spec.has_blobs:
            return ()
        found = [binary.file_id for _, binary in binaries(self._node.spec.decode(data))]
        return tuple(dict.fromkeys(file_id for file_id in found if file_id))


def _restore_path(value: Any, old: Any, path: Sequence[str]) -> Any:
    """Return the value with the old value's part at a path."""
    if not path or not isinstance(value, dict) or not isinstance(old, dict):
        return old
    return {**value, path[0]: _restore_path(value.get(path[0]), old.get(path[0]), path[1:])}
