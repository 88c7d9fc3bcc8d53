"""Upload sessions: uploads in parts, in any order, over any number of connections and nodes."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic_core import from_json, to_json
from uuid_utils import uuid7

from autocrud.errors import DataCorrupted, UploadIncomplete, UploadNotFound
from autocrud.resource import timestamp
from autocrud.storage.blobs.hashing import Digest, blob_object_key, new_key
from autocrud.storage.ports.blobs import UploadSessions
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore
from autocrud.storage.ports.types import Blob
from autocrud.storage.ports.uploaded_types import UploadedType
from autocrud.storage.ports.uploads import Upload

_UPLOAD_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MIN_PART_BYTES = 8 * 1024 * 1024
_MAX_PARTS = 10_000  # of S3
_GRACE = timedelta(hours=1)  # for requests that began before a session expired


class BlobRegistry(Protocol):
    """Register of blobs. A finished upload is registered as a blob."""

    async def find(self, file_id: str) -> Blob | None: ...

    async def register(self, key: str, digest: Digest, types: Sequence[UploadedType]) -> Blob: ...

    async def drop_types(self, key: str) -> None: ...


class ObjectUploadSessions(UploadSessions):
    """Upload sessions of a model. A session is an object beside its parts, so any node can continue it."""

    def __init__(self, objects: ObjectStore, folder: str, blobs: BlobRegistry) -> None:
        self._objects = objects
        self._folder = folder
        self._blobs = blobs

    def use_folder(self, folder: str) -> None:
        """Use another prefix of the keys from now on."""
        self._folder = folder

    async def begin(
        self, size: int, content_type: str, filename: str | None, by: str | None, lifetime: timedelta
    ) -> Upload:
        key = new_key()
        megabytes = -(-size // (_MAX_PARTS * 1024 * 1024))
        upload = Upload(
            upload_id=str(uuid7()),
            size=size,
            part_size=max(_MIN_PART_BYTES, megabytes * 1024 * 1024),
            key=key,
            undertaking=await self._objects.begin_parts(blob_object_key(self._folder, key)),
            content_type=content_type,
            filename=filename,
            by=by,
            expires=timestamp(datetime.now(UTC) + lifetime),
        )
        await self._save(upload)
        return upload

    async def get(self, upload_id: str, by: str | None) -> Upload:
        # It becomes part of a key.
        upload = await self._load(upload_id) if _UPLOAD_ID.fullmatch(upload_id) else None
        if upload is None or upload.by != by or upload.expires < timestamp(datetime.now(UTC)):
            raise UploadNotFound(upload_id)
        return upload

    async def put_part(self, upload: Upload, number: int, data: bytes) -> None:
        try:
            await self._objects.put_part(self._object_key(upload), upload.undertaking, number, data)
        except ObjectMissing as error:
            raise UploadNotFound(upload.upload_id) from error

    async def list_parts(self, upload: Upload) -> list[int]:
        try:
            return [part.number for part in await self._objects.parts(self._object_key(upload), upload.undertaking)]
        except ObjectMissing:
            return list(range(1, upload.part_count + 1)) if await self._is_joined(upload) else []

    async def finish(self, upload: Upload) -> Blob:
        if upload.file_id is not None:
            blob = await self._blobs.find(upload.file_id)
            if blob is not None:
                return blob
        if not await self._is_joined(upload):
            await self._join(upload)
        digest = await self._hash_object(upload)
        # Before it is registered: of an upload that says nothing, nobody refers to what it became.
        await self._save(replace(upload, file_id=digest.file_id))
        uploaded = UploadedType(upload.content_type, upload.filename, upload.by)
        return await self._blobs.register(upload.key, digest, [uploaded])

    async def abort(self, upload: Upload) -> None:
        key = self._object_key(upload)
        await self._objects.drop_parts(key, upload.undertaking)
        blob = None if upload.file_id is None else await self._blobs.find(upload.file_id)
        if blob is None or blob.key != upload.key:
            await self._blobs.drop_types(upload.key)
            await self._objects.delete(key)
        await self._objects.delete(self._session_key(upload.upload_id))

    async def drop_expired(self) -> None:
        """Erase the sessions whose time is over."""
        before = timestamp(datetime.now(UTC) - _GRACE)
        async for name in self._session_ids():
            upload = await self._load(name)
            if upload is not None and upload.expires < before:
                await self.abort(upload)

    async def _join(self, upload: Upload) -> None:
        key = self._object_key(upload)
        try:
            parts = await self._objects.parts(key, upload.undertaking)
            sizes = {part.number: part.size for part in parts}
            missing = [
                number for number in range(1, upload.part_count + 1) if sizes.get(number) != upload.size_of(number)
            ]
            if missing:
                raise UploadIncomplete(upload.upload_id, missing)
            await self._objects.join_parts(key, upload.undertaking, parts)
        except ObjectMissing as error:
            # Another request was faster, or aborted it.
            if not await self._is_joined(upload):
                raise UploadNotFound(upload.upload_id) from error

    async def _is_joined(self, upload: Upload) -> bool:
        try:
            return await self._objects.size(self._object_key(upload)) == upload.size
        except ObjectMissing:
            return False

    async def _hash_object(self, upload: Upload) -> Digest:
        digest = Digest()
        try:
            async for _ in digest.hash_stream(self._objects.stream(self._object_key(upload))):
                pass
        except ObjectMissing as error:
            raise UploadNotFound(upload.upload_id) from error
        if digest.size != upload.size:
            raise DataCorrupted(f"The upload {upload.upload_id} came to {digest.size} bytes, not {upload.size}.")
        return digest

    async def _session_ids(self) -> AsyncIterator[str]:
        prefix = f"uploads/{self._folder}/"
        async for key in self._objects.keys(prefix):
            yield key.removeprefix(prefix).removesuffix(".json")

    async def _load(self, upload_id: str) -> Upload | None:
        try:
            return Upload(**from_json(await self._objects.get(self._session_key(upload_id))))
        except ObjectMissing:
            return None

    async def _save(self, upload: Upload) -> None:
        await self._objects.put(self._session_key(upload.upload_id), to_json(asdict(upload)))

    def _session_key(self, upload_id: str) -> str:
        return f"uploads/{self._folder}/{upload_id}.json"

    def _object_key(self, upload: Upload) -> str:
        return blob_object_key(self._folder, upload.key)
