"""ChangeList: the committed writes of a store in commit order. A purge removes the earlier changes of its resource."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from autocrud.resource import CommitKind
from autocrud.storage.decision.state import ResourceKey
from autocrud.storage.ports.transactions import START, Position, StoreChange

_MIN_LENGTH_TO_COMPACT = 1000


class ChangeList:
    """Keeps changes by position. Removed changes leave a gap in the order until half of the order is gaps.

    Attributes:
        last: position of the last write.
    """

    def __init__(self) -> None:
        self.last = START
        self._changes: dict[Position, StoreChange] = {}
        self._order: list[Position] = []
        self._positions: dict[ResourceKey, list[Position]] = {}

    def add(self, change: StoreChange) -> None:
        """Add a change behind all others. A purge removes the earlier changes of the resource."""
        key = (change.model, change.resource_id)
        if change.kind is CommitKind.purge:
            for position in self._positions.pop(key, ()):
                del self._changes[position]
            if len(self._order) > max(_MIN_LENGTH_TO_COMPACT, 2 * len(self._changes)):
                self._order = list(self._changes)
        self.last = change.position
        self._changes[change.position] = change
        self._order.append(change.position)
        self._positions.setdefault(key, []).append(change.position)

    def page(self, after: Position, limit: int) -> list[StoreChange]:
        """Return at most `limit` changes behind a position, in order."""
        return list(islice(self._iterate(bisect_right(self._order, after)), limit))

    def _iterate(self, start: int) -> Iterator[StoreChange]:
        for place in range(start, len(self._order)):
            change = self._changes.get(self._order[place])
            if change is not None:
                yield change
