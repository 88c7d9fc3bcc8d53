"""The memory factory: for tests and demonstrations. Nothing outlives the process (invariant 1 does not hold)."""

from collections.abc import Mapping
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.memory.engine import MemoryEngine
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.storage import Check, IStorage
from autocrud.storage.store import Store
from autocrud.storage.store_factory import StoreFactory


class _MemoryStorage(ModelStorage):
    """Storage that opens the store, too, so that tests can do without a factory that is open."""

    async def open(self) -> None:
        await self._store.open()
        await super().open()


class MemoryStorageFactory(StoreFactory):
    """Keeps all models in dicts of this process.

    Each process has a store of its own. Serve an application with this factory by one process: several workers would
    answer from different data.
    """

    def __init__(self) -> None:
        super().__init__(Store(MemoryEngine(), "memory"))

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return _MemoryStorage(spec, self._store)

    def checks(self) -> Mapping[str, Check]:
        return {}
