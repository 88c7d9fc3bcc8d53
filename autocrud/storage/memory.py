"""The memory factory: for tests and demonstrations. Nothing outlives the process (invariant 1 does not hold)."""

from collections.abc import Mapping
from typing import Any

from autocrud.model import ModelSpec
from autocrud.storage.base import Check, IStorage, IStorageFactory
from autocrud.storage.composed import Storage
from autocrud.storage.meta.memory import MemoryMetaStore
from autocrud.storage.objects.memory import MemoryObjectStore


class MemoryStorageFactory(IStorageFactory):
    """Keeps each model in dicts of this process."""

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        objects = MemoryObjectStore()
        return Storage(spec, MemoryMetaStore(spec, objects, spec.name), objects, spec.name)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    def checks(self) -> Mapping[str, Check]:
        return {}
