"""Search in a partition: finds matching rows, and yields them in the order of a query."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from autocrud.query.conditions import And, Condition, Query, Term
from autocrud.query.evaluate import holds
from autocrud.query.text_search import RankField
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.storage.metadata.memory.indexes.candidates import Candidates
from autocrud.storage.metadata.memory.indexes.partition import Partition
from autocrud.storage.metadata.memory.indexes.planner import find_candidates
from autocrud.storage.metadata.memory.indexes.spans import Span
from autocrud.storage.metadata.memory.indexes.value_index import ValueIndex
from autocrud.storage.metadata.scan.row_order import creation_direction, rows_after, sort_rows
from autocrud.storage.metadata.scan.rows import Place, Row
from autocrud.storage.ports.query_limit import Deadline

# A walk checks each row in Python. Candidates are sorted by place before they are checked.
_CREATION_WEIGHT = 5
MAX_SECONDS = 1.0  # of a query, which has the event loop to itself
_ROWS_PER_CHECK = 50


def select_rows(partition: Partition, where: Condition | None) -> Iterator[Row]:
    """Yield the rows for which a condition holds, in any order."""
    found = find_candidates(partition, where)
    return _filter(partition, found.places(), None if found.is_exact else where)


def count_rows(partition: Partition, where: Condition | None, limit: int | None) -> int:
    """Return the number of rows for which a condition holds. The count may stop at a limit."""
    found = find_candidates(partition, where)
    if found.is_exact:
        return found.count()
    count = 0
    for _ in _filter(partition, found.places(), where):
        count += 1
        if count == limit:
            break
    return count


def search_rows(partition: Partition, query: Query) -> Iterator[Row]:
    """Yield the rows after the cursor of a query, in the order of the query."""
    found = find_candidates(partition, query.where)
    descending = creation_direction(query.order) if query.sort else True
    if descending is not None:
        return _search_by_creation(partition, query, found, descending)
    field = query.order[0].field
    if isinstance(field, RankField) or found.size <= query.limit:
        return _search_by_sort(partition, query, found)
    index = partition.index(field)
    span = _span_of_order(index, field, query.where)
    size = len(partition.places) if span is None else index.size_of(span)
    if not _is_walk_shorter(query, found, size):
        return _search_by_sort(partition, query, found)
    return _search_by_index(partition, query, index, span)


def _is_walk_shorter(query: Query, found: Candidates, size: int, weight: int = 1) -> bool:
    """Return True if a walk in the order of the page is expected to cost less than a sort of the candidates.

    Of `size` rows, one in `size / found.size` is expected to match.

    Args:
        weight: the cost of a row of the walk, in candidates.
    """
    return weight * query.limit * size < found.size * found.size


def _search_by_creation(partition: Partition, query: Query, found: Candidates, descending: bool) -> Iterator[Row]:
    """Yield rows in order of creation: from the candidates, or from all rows if most of them match."""
    after = None if query.after is None else query.after.values
    if not found.is_ordered and _is_walk_shorter(query, found, len(partition.places), _CREATION_WEIGHT):
        found = partition.all(is_exact=False)
    places = _walk(found.sorted_places(), after, descending)
    return _filter(partition, places, None if found.is_exact else query.where)


def _search_by_sort(partition: Partition, query: Query, found: Candidates) -> Iterator[Row]:
    """Yield rows from a sort of all rows that match."""
    where = None if found.is_exact else query.where
    rows: Sequence[Row] = sort_rows(_filter(partition, found.places(), where), query.order)
    return iter(rows if query.after is None else rows_after(rows, query.order, query.after.values))


def _search_by_index(partition: Partition, query: Query, index: ValueIndex, span: Span | None) -> Iterator[Row]:
    """Yield rows by the index of the first sort key, value by value.

    Args:
        span: the values of rows that can match; None if they can have any value, or null.
    """
    first, *rest = query.order
    values, (start, end) = index.values(), span or (0, len(index.values()))
    after = None if query.after is None else query.after.values
    if after is not None:
        if after[0] is None:
            start = end
        elif first.descending:
            end = min(end, bisect_right(values, after[0]))
        else:
            start = max(start, bisect_left(values, after[0]))
    positions = range(end - 1, start - 1, -1) if first.descending else range(start, end)
    descending = creation_direction(rest)
    for value in chain((values[position] for position in positions), (None,)):
        if value is None and span is not None:
            return
        rest_after = after[1:] if after is not None and after[0] == value else None
        places = index.places_of(value)
        if descending is not None:
            yield from _filter(partition, _walk(places, rest_after, descending), query.where)
        elif places:
            rows: Sequence[Row] = sort_rows(_filter(partition, places, query.where), rest)
            yield from rows if rest_after is None else rows_after(rows, tuple(rest), rest_after)


def _span_of_order(index: ValueIndex, field: IndexField, where: Condition | None) -> Span | None:
    """Return the span of an index to which the comparisons of a condition with its field limit the rows."""
    parts = where.parts if isinstance(where, And) else (where,)
    terms = [part for part in parts if isinstance(part, Term) and part.field.column == field.column]
    spans = [span for term in terms if (span := index.span(term.operator, term.value)) is not None]
    if not spans:
        return None
    start = max(start for start, _ in spans)
    return start, max(start, min(end for _, end in spans))


def _walk(places: Sequence[Place], after: Sequence[ColumnValue] | None, descending: bool) -> Iterator[Place]:
    """Yield sorted places in a direction, after the place of a cursor."""
    if descending:
        end = len(places) if after is None else bisect_left(places, tuple(after))
        return map(places.__getitem__, range(end - 1, -1, -1))
    start = 0 if after is None else bisect_right(places, tuple(after))
    return map(places.__getitem__, range(start, len(places)))


def _filter(partition: Partition, places: Iterable[Place], where: Condition | None) -> Iterator[Row]:
    rows = partition.rows_at(places)
    return rows if where is None else _check_rows(rows, where, Deadline(MAX_SECONDS))


def _check_rows(rows: Iterator[Row], where: Condition, deadline: Deadline) -> Iterator[Row]:
    """Yield the rows for which a condition holds.

    Raises:
        QueryTooExpensive: the checks take too long.
    """
    for number, row in enumerate(rows):
        if number % _ROWS_PER_CHECK == 0:
            deadline.check()
        if holds(where, row.columns):
            yield row
