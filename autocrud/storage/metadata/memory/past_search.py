"""Past search in memory: scans all resources for a query with `at`, because the indexes hold the current state only."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from autocrud.query.conditions import Query
from autocrud.query.evaluate import holds
from autocrud.storage.metadata.memory.indexes.search import MAX_SECONDS
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.metadata.scan.history import commit_at, head_after
from autocrud.storage.metadata.scan.row_order import page_of
from autocrud.storage.metadata.scan.rows import Place, Row
from autocrud.storage.ports.query_limit import Deadline
from autocrud.storage.row_view import row_of


def past_rows(tables: MemoryTables, query: Query, at: datetime) -> Iterator[Row]:
    """Yield the rows that matched a query at a time, in order of creation."""
    return _select(tables, query, at, tables.row_index.places())


def search_past(tables: MemoryTables, query: Query, at: datetime) -> list[Row]:
    """Return a page of the rows that matched a query at a time, and one more row if there is a next page."""
    if not query.sort:
        places = tables.row_index.places()
        end = len(places) if query.after is None else bisect_left(places, query.after.values)
        newest_first = (places[number] for number in range(end - 1, -1, -1))
        return list(islice(_select(tables, query, at, newest_first), query.limit + 1))
    return page_of(past_rows(tables, query, at), query)


def _select(tables: MemoryTables, query: Query, at: datetime, places: Iterable[Place]) -> Iterator[Row]:
    deadline = Deadline(MAX_SECONDS)
    for _, resource_id in places:
        deadline.check()
        row = _row_at(tables, tables.rows[resource_id], at)
        if row is None or (row.head.is_deleted and not query.include_deleted):
            continue
        if holds(query.where, row.columns):
            yield row


def _row_at(tables: MemoryTables, row: Row, at: datetime) -> Row | None:
    """Return a row as of a time; None if the resource did not exist."""
    history = tables.commits[row.head.resource_id]
    commit = commit_at(history, at)
    if commit is None:
        return None
    head = head_after(history, commit, row.head)
    position = next(position for position, commit in enumerate(history) if commit.version == head.version)
    index = tables.index_values[head.resource_id][position]
    return Row(head, index, row_of(tables.spec, head.meta, index), row.place)
