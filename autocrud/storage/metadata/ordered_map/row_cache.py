"""Row cache: decoded heads with their index values, so that queries do not compute them again."""

from collections.abc import Sequence
from dataclasses import dataclass

from autocrud.storage.index_backfill.engine import ConversionError
from autocrud.storage.metadata.ordered_map.codec import StoredHead, decode_head
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.ordered_map import Item, Version

_MAX_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class CachedHead:
    """A decoded head.

    Attributes:
        row: the head with its index values; None if they were not computed.
        faults: values that do not fit their columns.
    """

    version: Version
    size: int
    stored: StoredHead
    row: Row | None = None
    faults: Sequence[ConversionError] = ()


class RowCache:
    """Heads by key. The version of an item tells if the head is current. The oldest heads go when the cache is full."""

    def __init__(self) -> None:
        self._heads: dict[bytes, CachedHead] = {}
        self._size = 0

    def head_of(self, key: bytes, item: Item) -> CachedHead:
        """Return the decoded head of an item."""
        cached = self._heads.get(key)
        if cached is None or cached.version != item.version:
            # Large data is not part of the item, but its index values may be.
            cached = CachedHead(item.version, 2 * len(item.value), decode_head(item.value))
        return cached

    def add(self, key: bytes, head: CachedHead) -> None:
        """Add a head."""
        replaced = self._heads.pop(key, None)
        self._size += head.size - (replaced.size if replaced is not None else 0)
        self._heads[key] = head
        while self._size > _MAX_BYTES:
            self._size -= self._heads.pop(next(iter(self._heads))).size
