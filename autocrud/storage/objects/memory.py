"""Objects in a dict: for the log's own tests, and for whoever wants to see what a store must do."""

from collections.abc import Callable

from autocrud.storage.base import ObjectExists, ObjectMissing, ObjectStore


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

    async def exists(self, key: str) -> bool:
        return key in self.objects

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        self.objects[key] = edit(self._present(key))

    def _present(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]
