"""Example of a backend: an ordered map over a dict and a sorted list. It is lost when the process ends."""

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Mapping, Sequence

from autocrud.storage.ordered_map import ABSENT, Item, MapConflict, OrderedMap, OrderedMapStorageFactory


class DictMap(OrderedMap):
    """An ordered map of one process."""

    def __init__(self) -> None:
        self._items: dict[bytes, Item] = {}
        self._keys: list[bytes] = []  # sorted
        self._commits = 0

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, Item]:
        """Return the items of these keys."""
        return {key: self._items[key] for key in keys if key in self._items}

    async def range(self, start: bytes, end: bytes, limit: int) -> AsyncIterator[tuple[bytes, Item]]:
        """Yield the items from `start` up to `end`. The copy of the keys stays as it is while commits go on."""
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, end)
        for key in self._keys[first : min(last, first + limit)]:
            if key in self._items:
                yield key, self._items[key]

    async def commit(self, expected: Mapping[bytes, int], changes: Mapping[bytes, bytes | None]) -> None:
        """Check all versions, then change all keys. Nothing else runs in between, because nothing is awaited."""
        for key, version in expected.items():
            if self._version_of(key) != version:
                raise MapConflict(key)
        self._commits += 1
        for key, value in changes.items():
            if value is None:
                self._delete(key)
            else:
                self._set(key, value)

    def _version_of(self, key: bytes) -> int:
        return self._items[key].version if key in self._items else ABSENT

    def _set(self, key: bytes, value: bytes) -> None:
        if key not in self._items:
            insort(self._keys, key)
        self._items[key] = Item(value, self._commits)  # a number that the key never had before

    def _delete(self, key: bytes) -> None:
        if self._items.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


def factory() -> OrderedMapStorageFactory:
    """Return the storage factory: `AutoCRUD(storage_factory=factory())`."""
    return OrderedMapStorageFactory(DictMap())
