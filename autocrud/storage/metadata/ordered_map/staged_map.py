"""Staged map: reads of an ordered map with the changes that the next commit makes."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from autocrud.storage.objects.ordered_map.keys import end_of, scan
from autocrud.storage.ports.ordered_map import ABSENT, OrderedMap, Version
from autocrud.storage.ports.time_slice import TimeSlice

_MAX_PAGE = 200


class StagedMap:
    """Collects changes, and the version of each key that was read. The commit fails if such a key has changed."""

    def __init__(self, ordered_map: OrderedMap) -> None:
        self._map = ordered_map
        self._values: dict[bytes, bytes | None] = {}
        self._expected: dict[bytes, Version] = {}
        self._changes: dict[bytes, bytes | None] = {}
        self._changed_keys: list[bytes] = []  # sorted

    async def load(self, keys: Iterable[bytes]) -> None:
        """Read keys together, so that `get` need not read them one by one."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._values]
        if not missing:
            return
        items = await self._map.get(missing)
        time_slice = TimeSlice()
        for key in missing:
            await time_slice.check()
            item = items.get(key)
            self._values[key] = None if item is None else item.value
            self._expected.setdefault(key, ABSENT if item is None else item.version)

    async def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if the key does not exist."""
        if key in self._changes:
            return self._changes[key]
        await self.load([key])
        return self._values[key]

    async def range(self, prefix: bytes, limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """Return the keys with a prefix and their values, in order, at most `limit`."""
        end, found = end_of(prefix), dict[bytes, bytes]()
        page_size = _MAX_PAGE if limit is None else min(limit, _MAX_PAGE)
        items: Any = scan(self._map, prefix, end, page_size=page_size)
        async with aclosing(items):
            async for key, item in items:
                self._expected.setdefault(key, item.version)
                if key not in self._changes:
                    found[key] = item.value
                if len(found) == limit:
                    break
        first, last = bisect_left(self._changed_keys, prefix), bisect_left(self._changed_keys, end)
        for key in self._changed_keys[first:last]:
            if (value := self._changes[key]) is not None:
                found[key] = value
        return sorted(found.items())[:limit]

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._change(key, value)

    def delete(self, key: bytes) -> None:
        """Delete a key. No error if the key does not exist."""
        self._change(key, None)

    def delete_value(self, key: bytes, value: bytes) -> None:
        """Delete a key that had this value, unless a change has given it another value."""
        if self._changes.get(key, value) == value:
            self._change(key, None)

    async def commit(self) -> None:
        """Commit the changes.

        Raises:
            MapConflict: another process was faster.
        """
        await self._map.commit(self._expected, self._changes)

    def _change(self, key: bytes, value: bytes | None) -> None:
        if key not in self._changes:
            insort(self._changed_keys, key)
        self._changes[key] = value
