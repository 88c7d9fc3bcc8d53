"""Blob store: bytes of any size under their SHA-256, stored once. Full reads are verified."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from autocrud.errors import AlreadyExists, DataCorrupted, PayloadTooLarge
from autocrud.resource import timestamp
from autocrud.storage.blobs.arrivals import BlobArrivals
from autocrud.storage.blobs.hashing import Digest, blob_object_key, new_key
from autocrud.storage.blobs.upload_sessions import ObjectUploadSessions
from autocrud.storage.blobs.uploaded_types import UploadedTypeStore
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore
from autocrud.storage.ports.types import Blob, Outcome
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes


class ObjectBlobStore(BlobStore):
    """Blobs of a model: an object per blob, under a random key, and a registry.

    A blob exists after the commit of its registration. The object is durable before the registration (invariant 1).

    Args:
        folder: folder of the model.
        find: returns a blob of the registry.
        register: commits a blob to the registry. A registered blob is refused.
        release: erases blobs unless a resource refers to them.
    """

    def __init__(
        self,
        objects: ObjectStore,
        folder: str,
        find: Callable[[str], Awaitable[Blob | None]],
        register: Callable[[Blob], Awaitable[Outcome]],
        release: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._find = find
        self._register = register
        self._release = release
        self._arrivals = BlobArrivals(objects, folder)
        self._types = UploadedTypeStore(objects, folder)
        self.uploads = self._sessions = ObjectUploadSessions(objects, folder, self)

    def use_folder(self, folder: str) -> None:
        """Use the folder of another model from now on."""
        self._folder = folder
        self._types = UploadedTypeStore(self._objects, folder)
        self._arrivals = BlobArrivals(self._objects, folder)
        self._sessions.use_folder(folder)

    async def find(self, file_id: str) -> Blob | None:
        return await self._find(file_id)

    async def put(
        self, pieces: AsyncIterator[bytes], *, limit: int | None = None, types: Sequence[UploadedType] = ()
    ) -> Blob:
        digest = Digest()
        key = new_key()
        await self._objects.put_stream(
            blob_object_key(self._folder, key), digest.hash_stream(_enforce_limit(pieces, limit))
        )
        return await self.register(key, digest, types)

    async def put_bytes(self, content: bytes, *, types: Sequence[UploadedType] = ()) -> Blob:
        existing = await self.find(sha256(content).hexdigest())
        if existing is None:
            return await self.put(_single_piece(content), types=types)
        await self._arrivals.add(existing.file_id)
        await self.add_types(existing, types)
        return existing

    async def types_of(self, blob: Blob) -> UploadedTypes:
        return await self._types.get(blob.key)

    async def add_types(self, blob: Blob, types: Sequence[UploadedType]) -> None:
        try:
            await self._types.add(blob.key, types, is_new=False)
        except ObjectMissing:
            return  # the blob was purged meanwhile, and its types with it
        if await self.find(blob.file_id) is None:
            await self.drop_types(blob.key)

    async def drop_types(self, key: str) -> None:
        """Erase the types of an object without a blob."""
        await self._types.delete(key)

    async def drop_expired_uploads(self) -> None:
        """Erase expired upload sessions."""
        await self._sessions.drop_expired()

    async def drop_unused(self, lifetime: timedelta) -> None:
        async for uploads in self._arrivals.expired(datetime.now(UTC) - lifetime):
            file_ids = [file_id for file_id in uploads if await self.find(file_id) is not None]
            if file_ids:
                await self._release(file_ids)
            await self._arrivals.remove([name for names in uploads.values() for name in names])

    async def register(self, key: str, digest: Digest, types: Sequence[UploadedType]) -> Blob:
        """Register a stored object as a blob. If a blob with the same content exists, delete the object.

        The types are stored first, so no blob is visible without its types.
        """
        await self._arrivals.add(digest.file_id)
        await self._types.add(key, types, is_new=True)
        blob = Blob(digest.file_id, digest.size, key, timestamp(datetime.now(UTC)))
        while True:
            error = await self._register(blob)
            if error is None:
                return blob
            if not isinstance(error, AlreadyExists):
                raise error
            existing = await self.find(blob.file_id)
            if existing is not None:
                if existing.key != key:
                    await self.add_types(existing, types)
                    await self.drop_types(key)
                    await self._objects.delete(blob_object_key(self._folder, key))
                return existing

    async def stream(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = blob.size if end is None else end
        digest = Digest()
        pieces = self._objects.stream(blob_object_key(self._folder, blob.key), start, end)
        last_piece = b""
        async for piece in digest.hash_stream(pieces):
            if last_piece:
                yield last_piece
            last_piece = piece
        is_whole = start == 0 and end == blob.size
        if digest.size != end - start or (is_whole and digest.file_id != blob.file_id):
            raise DataCorrupted(f"The blob {blob.file_id} in {blob_object_key(self._folder, blob.key)} is damaged.")
        if last_piece:
            yield last_piece

    async def link(self, blob: Blob, seconds: int, headers: Mapping[str, str]) -> str | None:
        return await self._objects.link(blob_object_key(self._folder, blob.key), seconds, headers)


async def _enforce_limit(pieces: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if limit is not None and size > limit:
            raise PayloadTooLarge(limit)
        yield piece


async def _single_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content
