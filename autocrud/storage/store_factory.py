"""Factory of the models of one store: what the factories of all backends share."""

from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.store import Store


class StoreFactory(IStorageFactory):
    """Factory whose models share one store. A subclass names the health checks.

    Args:
        store: opened and closed by the factory.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return ModelStorage(spec, self._store)

    def limit_waiting_writes(self, most: int) -> None:
        """Set the number of writes that may wait for a commit. Further ones are refused with `Overloaded`."""
        self._store.max_waiting_writes = most

    async def stored_models(self) -> set[str]:
        return await self._store.engine.stored_models()

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()
