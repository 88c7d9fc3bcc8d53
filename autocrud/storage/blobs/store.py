"""Blobs: bytes of any size, known by their SHA-256, stored once, and verified when they are read whole."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from autocrud.errors import AlreadyExists, DataCorrupted, PayloadTooLarge
from autocrud.resource import timestamp
from autocrud.storage.blobs.hashing import Digest, new_key
from autocrud.storage.blobs.upload_sessions import ObjectUploadSessions
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.types import Blob, Outcome


class ObjectBlobStore(BlobStore):
    """The blobs of one model: an object for each, under a key that is never used again, and a registry of them.

    A blob is there once its registration is committed, which is after its object is durable (invariant 1).

    Args:
        folder: the prefix of the keys.
        find: looks a blob up in the registry.
        register: commits a blob to the registry, which refuses one that it has.
    """

    def __init__(
        self,
        objects: ObjectStore,
        folder: str,
        find: Callable[[str], Awaitable[Blob | None]],
        register: Callable[[Blob], Awaitable[Outcome]],
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._find = find
        self._register = register
        self.uploads = self._sessions = ObjectUploadSessions(objects, folder, self)

    async def find(self, file_id: str) -> Blob | None:
        return await self._find(file_id)

    async def put(self, pieces: AsyncIterator[bytes], *, limit: int | None = None) -> Blob:
        digest = Digest()
        key = new_key()
        await self._objects.put_stream(f"{self._folder}/{key}", digest.hash_stream(_enforce_limit(pieces, limit)))
        return await self.register(key, digest)

    async def put_bytes(self, content: bytes) -> Blob:
        existing = await self.find(sha256(content).hexdigest())
        return existing or await self.put(_single_piece(content))

    async def drop_expired_uploads(self) -> None:
        """Erase the upload sessions that have expired."""
        await self._sessions.drop_expired()

    async def register(self, key: str, digest: Digest) -> Blob:
        """Make a blob of an object that is there. Where there is one of this content already, the object goes."""
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
                    await self._objects.delete(f"{self._folder}/{key}")
                return existing

    async def stream(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = blob.size if end is None else end
        digest = Digest()
        pieces = self._objects.stream(f"{self._folder}/{blob.key}", start, end)
        last_piece = b""
        async for piece in digest.hash_stream(pieces):
            if last_piece:
                yield last_piece
            last_piece = piece
        is_whole = start == 0 and end == blob.size
        if digest.size != end - start or (is_whole and digest.file_id != blob.file_id):
            raise DataCorrupted(f"The blob {blob.file_id} in {self._folder}/{blob.key} is damaged.")
        if last_piece:
            yield last_piece

    async def link(self, blob: Blob, seconds: int, headers: Mapping[str, str]) -> str | None:
        return await self._objects.link(f"{self._folder}/{blob.key}", seconds, headers)


async def _enforce_limit(pieces: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if limit is not None and size > limit:
            raise PayloadTooLarge(limit)
        yield piece


async def _single_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content
