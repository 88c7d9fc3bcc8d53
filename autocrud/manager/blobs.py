"""ResourceBlobs: the bytes that one model's resources refer to, for uploading and for reading."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json

from autocrud.errors import BlobNotFound, DataCorrupted, FieldError, InvalidData, PayloadTooLarge, RevisionNotFound
from autocrud.manager.heads import read_head
from autocrud.schema.binary import OCTETS, Binary, find_blob_reference
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.objects import ObjectMissing
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Blob, Upload

UPLOAD_SECONDS = 86400.0
MAX_BLOB_BYTES = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a resource refers to it."""

    blob: Blob
    content_type: str
    filename: str | None

    @property
    def created_time(self) -> datetime:
        """When its bytes were first stored."""
        return datetime.fromisoformat(self.blob.created_time)


class ResourceBlobs:
    """The blobs of one model. What is uploaded can be read once a resource refers to it.

    Args:
        max_bytes: longer ones are refused.
        upload_seconds: how long an upload session lasts.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        storage: IStorage,
        *,
        max_bytes: int = MAX_BLOB_BYTES,
        upload_seconds: float = UPLOAD_SECONDS,
    ) -> None:
        self._spec = spec
        self._storage = storage
        self._lifetime = timedelta(seconds=upload_seconds)
        self.max_bytes = min(max_bytes, spec.largest_blob or max_bytes)

    async def upload(
        self, pieces: AsyncIterator[bytes], *, content_type: str = OCTETS, filename: str | None = None
    ) -> Binary:
        """Store what comes, of any size, and return the reference to it. Equal content is stored once.

        Raises:
            PayloadTooLarge: it is longer than the limit.
        """
        blob = await self._storage.blobs.put(pieces, limit=self.max_bytes)
        return Binary(file_id=blob.file_id, size=blob.size, content_type=content_type, filename=filename)

    async def get(self, resource_id: str, file_id: str, *, include_deleted: bool = False) -> StoredBlob:
        """A blob that a revision of a resource refers to, the last one to do so says under which name.

        Raises:
            InvalidParameter, NotFound, Deleted: as for the resource.
            BlobNotFound: no revision refers to it, or none that is kept.
        """
        await read_head(self._spec, self._storage, resource_id, include_deleted=include_deleted)
        commit = await self._storage.commit_of_blob(resource_id, file_id)
        blob = None if commit is None else await self._storage.blobs.find(file_id)
        if commit is None or blob is None:
            raise BlobNotFound(resource_id, file_id)
        try:
            named = find_blob_reference(from_json(await self._storage.data(commit)), file_id)
        except RevisionNotFound:
            raise BlobNotFound(resource_id, file_id) from None
        return StoredBlob(blob, named.get("content_type", OCTETS), named.get("filename"))

    async def read(self, stored: StoredBlob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`. Read whole, the last of them come once all are verified.

        Raises:
            BlobNotFound: it was erased meanwhile.
            DataCorrupted: it is not what was stored.
        """
        blob = stored.blob
        try:
            async for piece in self._storage.blobs.stream(blob, start, end):
                yield piece
        except ObjectMissing as error:
            if await self._storage.blobs.find(blob.file_id) == blob:
                raise DataCorrupted(f"The blob {blob.file_id} in {blob.key} is gone.") from error
            raise BlobNotFound("the resource", blob.file_id) from error

    async def link(self, stored: StoredBlob, seconds: int, headers: dict[str, str]) -> str | None:
        """A URL at which anybody may fetch it for so long; None where the storage has no such thing."""
        return await self._storage.blobs.link(stored.blob, seconds, headers)

    async def begin(self, size: int, content_type: str, filename: str | None, by: str | None) -> Upload:
        """Begin an upload of so many bytes, which come in parts.

        Raises:
            PayloadTooLarge: it is longer than the limit.
        """
        if size > self.max_bytes:
            raise PayloadTooLarge(self.max_bytes)
        return await self._storage.blobs.uploads.begin(size, content_type, filename, by, self._lifetime)

    async def progress(self, upload_id: str, by: str | None) -> tuple[Upload, list[int]]:
        """An upload, and the numbers of the parts that have arrived.

        Raises:
            UploadNotFound: there is none of this caller.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        return upload, await self._storage.blobs.uploads.list_parts(upload)

    async def expected(self, upload_id: str, number: int, by: str | None) -> Upload:
        """An upload that has a part of this number.

        Raises:
            UploadNotFound: there is none of this caller.
            InvalidData: it has no such part.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        if not 1 <= number <= upload.part_count:
            raise InvalidData(
                "There is no such part.", [FieldError("number", f"must be from 1 to {upload.part_count}")]
            )
        return upload

    async def put_part(self, upload: Upload, number: int, data: bytes) -> None:
        """Store a part, again if it is there.

        Raises:
            InvalidData: it has another size than it must have.
        """
        size = upload.size_of(number)
        if len(data) != size:
            raise InvalidData(
                "The part is not whole.", [FieldError("(body)", f"must be {size} bytes, not {len(data)}")]
            )
        await self._storage.blobs.uploads.put_part(upload, number, data)

    async def finish(self, upload_id: str, by: str | None) -> Binary:
        """Make a blob of the parts, all at once, and return the reference to it. It may be repeated.

        Raises:
            UploadNotFound: there is none of this caller.
            UploadIncomplete: parts are missing.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        blob = await self._storage.blobs.uploads.finish(upload)
        return Binary(file_id=blob.file_id, size=blob.size, content_type=upload.content_type, filename=upload.filename)

    async def abort(self, upload_id: str, by: str | None) -> None:
        """Give up an upload, and erase what has arrived of it.

        Raises:
            UploadNotFound: there is none of this caller.
        """
        await self._storage.blobs.uploads.abort(await self._storage.blobs.uploads.get(upload_id, by))
