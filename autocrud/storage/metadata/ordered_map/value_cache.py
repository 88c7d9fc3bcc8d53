"""Value cache: index values of stored data, so that queries do not compute them again."""

from autocrud.schema.column_types import IndexValue

_MAX_BYTES = 16 * 1024 * 1024


class ValueCache:
    """Index values by locator. Data at a locator never changes. The oldest entries go when the cache is full."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tuple[IndexValue, ...], int]] = {}
        self._size = 0

    def get(self, locator: str) -> tuple[IndexValue, ...] | None:
        """Return the index values of the data at a locator; None if they are not in the cache."""
        entry = self._entries.get(locator)
        return None if entry is None else entry[0]

    def add(self, locator: str, values: tuple[IndexValue, ...], size: int) -> None:
        """Add the index values of data.

        Args:
            size: bytes of the data, as an estimate of the size of its values.
        """
        if locator in self._entries:
            return
        self._entries[locator] = (values, size)
        self._size += size
        while self._size > _MAX_BYTES:
            _, removed_size = self._entries.pop(next(iter(self._entries)))
            self._size -= removed_size
