"""Guarded blobs: uploads and reads of blobs under the rules of a model."""

from collections.abc import AsyncIterator
from typing import Any

from autocrud.errors import BlobNotFound
from autocrud.guard.masking import masked_head
from autocrud.guard.model_guard import ModelGuard
from autocrud.manager.blobs import ResourceBlobs, StoredBlob
from autocrud.policy.access import Right
from autocrud.schema.binary import Binary
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head
from autocrud.storage.ports.uploads import Upload


class GuardedBlobs(ResourceBlobs):
    """Blobs of one model for the principal of each call. Only he can go on with an upload that he began.

    Args:
        storage: storage without hidden fields.
        rows: storage with them, on which rules are judged.
    """

    def __init__(self, guard: ModelGuard, storage: IStorage, rows: IStorage, **limits: Any) -> None:
        super().__init__(guard.spec, storage, **limits)
        self._guard = guard
        self._rows = rows

    async def upload(self, pieces: AsyncIterator[bytes], **options: Any) -> Binary:
        self._guard.check(Right.blobs)
        return await super().upload(pieces, **options | {"by": self._guard.principal_id()})

    async def get(self, resource_id: str, file_id: str, **options: Any) -> StoredBlob:
        self._guard.check(Right.read, Right.blobs)
        stored = await super().get(resource_id, file_id, **options)
        head = await self._rows.get(resource_id)
        if head is None or not self._may_read(head, file_id):
            raise BlobNotFound(resource_id, file_id)
        return stored

    async def progress(self, upload_id: str, by: str | None) -> tuple[Upload, list[int]]:
        self._guard.check(Right.blobs)
        return await super().progress(upload_id, by)

    async def expected(self, upload_id: str, number: int, by: str | None) -> Upload:
        self._guard.check(Right.blobs)
        return await super().expected(upload_id, number, by)

    async def finish(self, upload_id: str, by: str | None) -> Binary:
        self._guard.check(Right.blobs)
        return await super().finish(upload_id, by)

    async def abort(self, upload_id: str, by: str | None) -> None:
        self._guard.check(Right.blobs)
        await super().abort(upload_id, by)

    def _may_read(self, head: Head, file_id: str) -> bool:
        """Return True if the principal may read a blob of a resource. Past ones need the right to its history."""
        if not self._guard.holds(self._guard.verdict(Right.blobs), head):
            return False
        data = masked_head(head, self._guard.hidden_paths()).data
        is_current = data is not None and file_id.encode() in data
        return is_current or self._guard.holds(self._guard.verdict(Right.history), head)

    async def begin(self, size: int, content_type: str, filename: str | None, by: str | None) -> Upload:
        self._guard.check(Right.blobs)
        return await super().begin(size, content_type, filename, by or self._guard.principal_id())
