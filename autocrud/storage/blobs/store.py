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
        await self._objects.put_stream(f"{self._folder}/{key}", digest.over(_limited(pieces, limit)))
        return await self.register(key, digest)

    async def put_bytes(self, content: bytes) -> Blob:
        held = await self.find(sha256(content).hexdigest())
        return held or await self.put(_one(content))

    async def drop_expired_uploads(self) -> None:
        """Erase the upload sessions that have expired."""
        await self._sessions.drop_expired()

    async def register(self, key: str, digest: Digest) -> Blob:
        """Make a blob of an object that is there. Where there is one of this content already, the object goes."""
        blob = Blob(digest.file_id, digest.size, key, timestamp(datetime.now(UTC)))
        while True:
            refused = await self._register(blob)
            if refused is None:
                return blob
            if not isinstance(refused, AlreadyExists):
                raise refused
            held = await self.find(blob.file_id)
            if held is not None:
                if held.key != key:
                    await self._objects.delete(f"{self._folder}/{key}")
                return held

    async def stream(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = blob.size if end is None else end
        digest = Digest()
        pieces = self._objects.stream(f"{self._folder}/{blob.key}", start, end)
        held = b""
        async for piece in digest.over(pieces):
            if held:
                yield held
            held = piece
        is_whole = start == 0 and end == blob.size
        if digest.size != end - start or (is_whole and digest.file_id != blob.file_id):
            raise DataCorrupted(f"The blob {blob.file_id} in {self._folder}/{blob.key} is damaged.")
        if held:
            yield held

    async def link(self, blob: Blob, seconds: int, headers: Mapping[str, str]) -> str | None:
        return await self._objects.link(f"{self._folder}/{blob.key}", seconds, headers)


async def _limited(pieces: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if limit is not None and size > limit:
            raise PayloadTooLarge(limit)
        yield piece


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
