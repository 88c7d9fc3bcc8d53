"""RowIndex: answers the queries of one model from the indexes of its live and its deleted resources."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice

from autocrud.query.conditions import Condition, Query
from autocrud.query.evaluate import sort_key
from autocrud.storage.metadata.memory.indexes.partition import Partition
from autocrud.storage.metadata.memory.indexes.search import count_rows, search_rows, select_rows
from autocrud.storage.metadata.scan.rows import Place, Row


class RowIndex:
    """Answers queries of the current state as `evaluate.holds` and `evaluate.sort_key` define them.

    Args:
        rows: the rows of all resources by id.
    """

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._live, self._deleted = Partition(rows, False), Partition(rows, True)

    def change(self, before: Row | None, after: Row | None) -> None:
        """Follow a write.

        Args:
            before: the row before the write; None if the resource did not exist.
            after: the row after the write; None if the write purged the resource.
        """
        if before is not None and after is not None and before.head.is_deleted is after.head.is_deleted:
            self._partition_of(after).replace(before, after)
            return
        if before is not None:
            self._partition_of(before).remove(before)
        if after is not None:
            self._partition_of(after).add(after)

    def search(self, query: Query) -> list[Row]:
        """Return a page of matching rows in the order of the query, and one more row if there is a next page."""
        streams = [search_rows(partition, query) for partition in self._partitions(query.include_deleted)]
        if len(streams) == 1:
            return list(islice(streams[0], query.limit + 1))
        order = query.order
        return list(islice(merge(*streams, key=lambda row: sort_key(order, row.columns)), query.limit + 1))

    def count(self, query: Query) -> int:
        """Return the number of matching rows, at most `count_limit`."""
        limit, count = query.count_limit, 0
        for partition in self._partitions(query.include_deleted):
            count += count_rows(partition, query.where, limit)
        return count if limit is None else min(count, limit)

    def select(self, where: Condition | None, include_deleted: bool) -> Iterator[Row]:
        """Yield all matching rows in order of creation."""
        rows = [row for partition in self._partitions(include_deleted) for row in select_rows(partition, where)]
        return iter(sorted(rows, key=lambda row: row.place))

    def places(self) -> Sequence[Place]:
        """Return the places of all resources in order of creation."""
        if not self._deleted.places:
            return self._live.places
        return sorted([*self._live.places, *self._deleted.places])

    def _partition_of(self, row: Row) -> Partition:
        return self._deleted if row.head.is_deleted else self._live

    def _partitions(self, include_deleted: bool) -> list[Partition]:
        """Return the partitions that a query reads. Deleted resources are left out if there are none."""
        if include_deleted and self._deleted.places:
            return [self._live, self._deleted]
        return [self._live]
