"""The memory factory: for tests and demonstrations. Nothing outlives the process (invariant 1 does not hold)."""

from collections.abc import Mapping
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.composite import Storage
from autocrud.storage.metadata.memory.store import MemoryMetaStore
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory


class _MemoryStorage(Storage):
    """Storage whose object store belongs to one model, and opens with the storage."""

    def __init__(self, spec: ModelSpec[Any], objects: MemoryObjectStore) -> None:
        super().__init__(spec, lambda: MemoryMetaStore(spec, objects, spec.folder), objects)

    async def open(self) -> None:
        await self._objects.open()
        await super().open()


class MemoryStorageFactory(IStorageFactory):
    """Keeps each model in dicts of this process.

    Each process has a storage of its own. Serve an application with this factory by one process: several workers would
    answer from different data.
    """

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return _MemoryStorage(spec, MemoryObjectStore())

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    def checks(self) -> Mapping[str, Check]:
        return {}
