"""Aggregates over rows in memory, as the engines have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from itertools import product
from typing import Any

from autocrud.query.aggregation import EXACT, Aggregation, Function, GroupRow, Metric, check_sum, compute_average
from autocrud.query.evaluate import SortValue
from autocrud.schema.column_types import ColumnKind, ColumnValue, decimal_of

Row = Mapping[str, Any]


def aggregate(aggregation: Aggregation, rows: Iterable[Row]) -> list[GroupRow]:
    """Return one page of the groups of these rows, and one more group if there is a next page."""
    groups: dict[tuple[ColumnValue, ...], list[Row]] = {} if aggregation.group_by else {(): []}
    for row in rows:
        for keys in _keys(aggregation, row):
            groups.setdefault(keys, []).append(row)
    found = [
        GroupRow(keys, tuple(_figure(metric, values) for metric in aggregation.metrics))
        for keys, values in groups.items()
    ]
    found.sort(key=lambda group: _order(group.keys))
    if aggregation.by_metric is not None:
        number = aggregation.by_metric
        found.sort(key=lambda group: SortValue(group.figures[number], aggregation.descending))
    elif aggregation.after is not None:
        found = [group for group in found if _order(aggregation.after) < _order(group.keys)]
    return found[: aggregation.limit + 1]


def _keys(aggregation: Aggregation, row: Row) -> Iterator[tuple[ColumnValue, ...]]:
    """The groups that a row belongs to: of a list field one for each of its items."""
    values = [row[field.column] for field in aggregation.group_by]
    yield from product(
        *((dict.fromkeys(value) or (None,)) if isinstance(value, tuple) else (value,) for value in values)
    )


def _order(keys: Sequence[ColumnValue]) -> tuple[SortValue, ...]:
    return tuple(SortValue(key, False) for key in keys)


def _figure(metric: Metric, rows: Sequence[Row]) -> Any:
    if metric.field is None:
        return len(rows)
    column, kind = metric.field.column, metric.field.kind
    values = [row[column] for row in rows if row[column] is not None]
    match metric.function:
        case Function.count_:
            return len(values)
        case Function.distinct:
            return len(set(values))
        case Function.sum:
            return check_sum(metric, _sum(kind, values))
        case Function.avg:
            return compute_average(metric, _sum(kind, values), len(values))
    return (min if metric.function is Function.min else max)(values, default=None)


def _sum(kind: ColumnKind, values: Sequence[Any]) -> int | float | Decimal | None:
    if not values:
        return None
    return reduce(EXACT.add, map(decimal_of, values)) if kind is ColumnKind.decimal else sum(values)
