"""Undo: committed writes are taken back, where a reference of theirs went away while they were made."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import Conflict
from autocrud.references.graph import ModelNode, Reference
from autocrud.references.on_delete import OnDeleteRunner, author, meta_of, revised
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.schema.binary import binaries
from autocrud.storage.ports.types import Head, Write, on_delete_task_of
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded, modify_write, next_meta, switch_write


class Compensator:
    """Takes back writes of one model. Nothing is overwritten: the history tells what was written, and that it went."""

    def __init__(self, node: ModelNode, followers: OnDeleteRunner) -> None:
        self._node = node
        self._storage = node.storage
        self._on_delete = followers

    async def compensate(self, writes: Sequence[tuple[Write, Head | None, Sequence[Reference]]]) -> None:
        """Take back writes that were committed in this order, the last one first: one resource may have had several.

        Args:
            writes: each with the resource as it found it, and the fields by which it newly referred to others.
        """
        versions: dict[str, int] = {}
        for write, before, references in reversed(writes):
            resource_id = write.meta.resource_id
            version = versions.get(resource_id, write.meta.version)
            versions[resource_id] = await self._compensate(write, before, version, references)

    async def _compensate(
        self, write: Write, before: Head | None, version: int, references: Sequence[Reference]
    ) -> int:
        """Take back a write: as it was before, or else, where others have gone on from it, without the references.

        Args:
            version: of the resource, where nobody has.

        Returns the version that it then has.
        """
        while True:
            head = await self._storage.get(write.meta.resource_id, current=True)
            if head is None or (head.is_deleted and write.kind is not CommitKind.delete):
                return 0  # it went with what it referred to
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
        writer = author(write.meta.updated_by, meta)
        if write.kind is CommitKind.delete:
            return Write(CommitKind.restore, meta.version, next_meta(meta, writer, is_deleted=False))
        if before is None and is_last:
            gone = next_meta(meta, writer, is_deleted=True, created_by=None)
            return Write(CommitKind.purge, meta.version, gone, has_task=self._on_delete.follow_any(self._node))
        if before is None or before.is_deleted:
            gone = next_meta(meta, writer, is_deleted=True)
            return Write(CommitKind.delete, meta.version, gone, has_task=self._on_delete.follow_any(self._node))
        old = before.data or b""
        if not is_last:
            return await self._put_back(meta, head.data or b"", old, references, write.meta.updated_by)
        revision, blobs = RevisionInfo.model_validate_json(before.revision_info), self._blobs(old)
        if write.kind is CommitKind.modify:
            return modify_write(spec, meta, revision, Encoded(old, blobs), writer, revision.status)
        return switch_write(spec, meta, revision, old, blobs, writer)

    async def _put_back(
        self, meta: ResourceMeta, data: bytes, old: bytes, references: Sequence[Reference], by: str | None
    ) -> Write:
        """A revision that keeps what others have changed since, but for the references."""
        value = from_json(data)
        for reference in references:
            value = _with_old(value, from_json(old), reference.field.path)
        encoded = await Encoder(self._node.spec, self._storage.blobs).encode(to_json(value, inf_nan_mode="constants"))
        return await revised(self._node, meta, encoded, by)

    def _blobs(self, data: bytes) -> tuple[str, ...]:
        if not self._node.spec.has_blobs:
            return ()
        found = [binary.file_id for _, binary in binaries(self._node.spec.decode(data))]
        return tuple(dict.fromkeys(file_id for file_id in found if file_id))


def _with_old(value: Any, old: Any, path: Sequence[str]) -> Any:
    """The value, with what an old one has at a path."""
    if not path or not isinstance(value, dict) or not isinstance(old, dict):
        return old
    return {**value, path[0]: _with_old(value.get(path[0]), old.get(path[0]), path[1:])}
