"""Object store in a dict: for the blobs of the memory factory, and for tests."""

from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from uuid import uuid4

from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part

_PIECE_BYTES = 1024 * 1024


@refuse_unless_open(ObjectStore)
class MemoryObjectStore(ObjectStore):
    """Object store in a dict. Its content survives `close`."""

    is_open = False

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._parts: dict[str, dict[int, bytes]] = {}

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent and key in self.objects:
            raise ObjectExists(key)
        self.objects[key] = data

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return self._require_object(key)[start:end]

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        self.objects[key] = b"".join([piece async for piece in pieces])

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        content = memoryview(self._require_object(key))[start:end]
        for offset in range(0, len(content), _PIECE_BYTES):
            yield bytes(content[offset : offset + _PIECE_BYTES])

    async def size(self, key: str) -> int:
        return len(self._require_object(key))

    async def begin_parts(self, key: str) -> str:
        upload = uuid4().hex
        self._parts[upload] = {}
        return upload

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        self._parts_of_upload(upload)[number] = data

    async def parts(self, key: str, upload: str) -> list[Part]:
        stored_parts = self._parts_of_upload(upload)
        return [Part(number, len(data), sha256(data).hexdigest()) for number, data in sorted(stored_parts.items())]

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        stored_parts = self._parts_of_upload(upload)
        if not set(parts) <= set(await self.parts(key, upload)):
            raise ObjectMissing(key)
        self.objects[key] = b"".join(stored_parts[part.number] for part in parts)
        del self._parts[upload]

    async def drop_parts(self, key: str, upload: str) -> None:
        self._parts.pop(upload, None)

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after:
                yield key

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        self.objects[key] = edit(self._require_object(key))

    def _parts_of_upload(self, upload: str) -> dict[int, bytes]:
        if upload not in self._parts:
            raise ObjectMissing(upload)
        return self._parts[upload]

    def _require_object(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]
