"""The ordered map factory: a store over any `OrderedMap`, which is the smallest backend that an author can write."""

from collections.abc import Mapping
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.ordered_map.engine import OrderedMapEngine
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.ordered_map import ABSENT, Item, MapConflict, OrderedMap, Version
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory
from autocrud.storage.store import Store

__all__ = ["ABSENT", "Item", "MapConflict", "OrderedMap", "OrderedMapStorageFactory", "Version"]


class OrderedMapStorageFactory(IStorageFactory):
    """Keeps all models in an ordered map. Each query reads all resources of its model.

    Args:
        ordered_map: map that no other program writes to. The factory opens and closes the map.
        name: name of the store for messages and `/readyz`. It has no secrets.
    """

    def __init__(self, ordered_map: OrderedMap, *, name: str = "ordered map") -> None:
        self._engine = OrderedMapEngine(ordered_map, name)
        self._store = Store(self._engine, name)

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return ModelStorage(spec, self._store)

    async def stored_models(self) -> set[str]:
        return await self._engine.stored_models()

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    def checks(self) -> Mapping[str, Check]:
        return {self._store.name: self._engine.check}
