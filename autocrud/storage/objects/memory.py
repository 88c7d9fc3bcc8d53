"""Objects in a dict: for the log's own tests, and for whoever wants to see what a store must do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from autocrud.storage.object_store import ObjectExists, ObjectMissing, ObjectStore


class MemoryObjectStore(ObjectStore):
    """An object store that lasts as long as the object."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent and key in self.objects:
            raise ObjectExists(key)
        self.objects[key] = data

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return self._present(key)[start:end]

    async def put_file(self, key: str, path: Path) -> None:
        self.objects[key] = await asyncio.to_thread(path.read_bytes)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        yield self._present(key)

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after:
                yield key

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        self.objects[key] = edit(self._present(key))

    def _present(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]
