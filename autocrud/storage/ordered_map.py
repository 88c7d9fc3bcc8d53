"""The ordered map factory: a store over any `OrderedMap`, which is the smallest backend that an author can write."""

from collections.abc import Mapping

from autocrud.storage.metadata.ordered_map.engine import OrderedMapEngine
from autocrud.storage.ports.ordered_map import ABSENT, Item, MapConflict, OrderedMap, Version
from autocrud.storage.ports.storage import Check
from autocrud.storage.store import Store
from autocrud.storage.store_factory import StoreFactory

__all__ = ["ABSENT", "Item", "MapConflict", "OrderedMap", "OrderedMapStorageFactory", "Version"]


class OrderedMapStorageFactory(StoreFactory):
    """Keeps all models in an ordered map. Each query reads all resources of its model.

    Args:
        ordered_map: map that no other program writes to. The factory opens and closes the map.
        name: name of the store for messages and `/readyz`. It has no secrets.
    """

    def __init__(self, ordered_map: OrderedMap, *, name: str = "ordered map") -> None:
        self._engine = OrderedMapEngine(ordered_map, name)
        super().__init__(Store(self._engine, name))

    def checks(self) -> Mapping[str, Check]:
        return {self._store.name: self._engine.check}
