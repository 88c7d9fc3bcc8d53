"""Row order: sorts rows by sort keys, and finds the first row after a cursor."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from autocrud.query.conditions import Query, Sort
from autocrud.query.evaluate import sort_key, value_in
from autocrud.schema.column_types import ColumnValue
from autocrud.storage.metadata.scan.rows import Row

_first = itemgetter(0)


def sort_rows(rows: Iterable[Row], order: Sequence[Sort]) -> list[Row]:
    """Return the rows in the order of `sort_key`.

    A stable sort for each key compares values without a call of Python code, unlike a sort by `sort_key`.
    """
    result = list(rows)
    for key in reversed(order):
        pairs = [(value_in(row.columns, key.field), row) for row in result]
        present = [pair for pair in pairs if pair[0] is not None]
        present.sort(key=_first, reverse=key.descending)
        result = [row for _, row in present]
        result += [row for value, row in pairs if value is None]
    return result


def rows_after(rows: Sequence[Row], order: tuple[Sort, ...], values: Sequence[ColumnValue]) -> Sequence[Row]:
    """Return the sorted rows that come after the values of a cursor."""
    columns = dict(zip((key.field.column for key in order), values, strict=True))
    start = bisect_right(rows, sort_key(order, columns), key=lambda row: sort_key(order, row.columns))
    return rows[start:]


def page_of(rows: Iterable[Row], query: Query) -> list[Row]:
    """Return the page of these rows in the order of a query, and one more row if there is a next page."""
    found: Sequence[Row] = sort_rows(rows, query.order)
    if query.after is not None:
        found = rows_after(found, query.order, query.after.values)
    return list(found[: query.limit + 1])


def creation_direction(order: Sequence[Sort]) -> bool | None:
    """Return True if an order is newest first, False if it is oldest first, and None if it is another order."""
    columns: list[Any] = [key.field.column for key in order]
    if columns != ["created_time", "resource_id"] or order[0].descending is not order[1].descending:
        return None
    return order[0].descending
