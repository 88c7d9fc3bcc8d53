"""ResourceBlobs: uploads and reads the blobs of one model."""

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
from autocrud.storage.ports.types import Blob
from autocrud.storage.ports.uploaded_types import UploadedType
from autocrud.storage.ports.uploads import Upload

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
        """Time at which the bytes were first stored."""
        return datetime.fromisoformat(self.blob.created_time)


class ResourceBlobs:
    """Uploads and reads the blobs of one model. A blob can be read once a resource refers to it.

    Args:
        max_bytes: maximum size of a blob.
        upload_seconds: lifetime of an upload session, in seconds.
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

    async def drop_unused(self) -> None:
        """Erase the blobs that no resource refers to, after the lifetime of an upload."""
        await self._storage.blobs.drop_unused(self._lifetime)

    async def upload(
        self,
        pieces: AsyncIterator[bytes],
        *,
        content_type: str = OCTETS,
        filename: str | None = None,
        by: str | None = None,
    ) -> Binary:
        """Store a blob of any size and return the reference to it. Equal content is stored once.

        Args:
            by: user who uploads the blob.

        Raises:
            PayloadTooLarge: the blob is over the size limit.
        """
        types = [UploadedType(content_type, filename, by)]
        blob = await self._storage.blobs.put(pieces, limit=self.max_bytes, types=types)
        return Binary(file_id=blob.file_id, size=blob.size, content_type=content_type, filename=filename)

    async def get(self, resource_id: str, file_id: str, *, include_deleted: bool = False) -> StoredBlob:
        """Return a blob that a revision of a resource refers to. The last reference decides on the name.

        Raises:
            InvalidParameter, NotFound, Deleted: as for the resource.
            BlobNotFound: no kept revision refers to the blob.
        """
        await read_head(self._spec, self._storage, resource_id, include_deleted=include_deleted)
        commit = await self._storage.commit_of_blob(resource_id, file_id)
        blob = None if commit is None else await self._storage.blobs.find(file_id)
        if commit is None or blob is None:
            raise BlobNotFound(resource_id, file_id)
        try:
            reference = find_blob_reference(from_json(await self._storage.data(commit)), file_id)
        except RevisionNotFound:
            raise BlobNotFound(resource_id, file_id) from None
        return StoredBlob(blob, reference.get("content_type", OCTETS), reference.get("filename"))

    async def read(self, stored: StoredBlob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to `end`. The last bytes of a full read come only after verification.

        Raises:
            BlobNotFound: the blob was erased meanwhile.
            DataCorrupted: the bytes do not match the hash.
        """
        blob = stored.blob
        try:
            async for piece in self._storage.blobs.stream(blob, start, end):
                yield piece
        except ObjectMissing as error:
            if await self._storage.blobs.find(blob.file_id) == blob:
                raise DataCorrupted(f"The blob {blob.file_id} in {blob.key} is missing.") from error
            raise BlobNotFound("the resource", blob.file_id) from error

    async def link(self, stored: StoredBlob, seconds: int, headers: dict[str, str]) -> str | None:
        """Return a temporary public URL of the blob, or None if the storage has no such URLs."""
        return await self._storage.blobs.link(stored.blob, seconds, headers)

    async def begin(self, size: int, content_type: str, filename: str | None, by: str | None) -> Upload:
        """Begin an upload of this size, in parts.

        Raises:
            PayloadTooLarge: the size is over the limit.
        """
        if size > self.max_bytes:
            raise PayloadTooLarge(self.max_bytes)
        return await self._storage.blobs.uploads.begin(size, content_type, filename, by, self._lifetime)

    async def progress(self, upload_id: str, by: str | None) -> tuple[Upload, list[int]]:
        """Return an upload and the numbers of its stored parts.

        Raises:
            UploadNotFound: the caller has no such upload.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        return upload, await self._storage.blobs.uploads.list_parts(upload)

    async def expected(self, upload_id: str, number: int, by: str | None) -> Upload:
        """Return an upload that has a part with this number.

        Raises:
            UploadNotFound: the caller has no such upload.
            InvalidData: the upload has no part with this number.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        if not 1 <= number <= upload.part_count:
            raise InvalidData(
                "The upload has no such part.", [FieldError("number", f"must be from 1 to {upload.part_count}")]
            )
        return upload

    async def put_part(self, upload: Upload, number: int, data: bytes) -> None:
        """Store a part, or replace a stored part.

        Raises:
            InvalidData: the part does not have the expected size.
        """
        size = upload.size_of(number)
        if len(data) != size:
            raise InvalidData(
                "The part is not whole.", [FieldError("(body)", f"must be {size} bytes, not {len(data)}")]
            )
        await self._storage.blobs.uploads.put_part(upload, number, data)

    async def finish(self, upload_id: str, by: str | None) -> Binary:
        """Join the parts into a blob and return the reference to it. May be repeated.

        Raises:
            UploadNotFound: the caller has no such upload.
            UploadIncomplete: parts are missing.
        """
        upload = await self._storage.blobs.uploads.get(upload_id, by)
        blob = await self._storage.blobs.uploads.finish(upload)
        return Binary(file_id=blob.file_id, size=blob.size, content_type=upload.content_type, filename=upload.filename)

    async def abort(self, upload_id: str, by: str | None) -> None:
        """Abort an upload and erase its parts.

        Raises:
            UploadNotFound: the caller has no such upload.
        """
        await self._storage.blobs.uploads.abort(await self._storage.blobs.uploads.get(upload_id, by))
