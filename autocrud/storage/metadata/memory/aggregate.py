"""Aggregates over rows in memory, as the engines have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from itertools import product
from typing import Any

from autocrud.query.aggregation import EXACT, Aggregation, Function, GroupRow, Metric, average, total
from autocrud.query.evaluate import Place
from autocrud.schema.column_types import ColumnKind, ColumnValue, decimal_of

Row = Mapping[str, Any]


def aggregate(asked: Aggregation, rows: Iterable[Row]) -> list[GroupRow]:
    """One page of the groups of these rows, and one more where there is a next page."""
    groups: dict[tuple[ColumnValue, ...], list[Row]] = {} if asked.group_by else {(): []}
    for row in rows:
        for keys in _keys(asked, row):
            groups.setdefault(keys, []).append(row)
    found = [GroupRow(keys, tuple(_figure(metric, held) for metric in asked.metrics)) for keys, held in groups.items()]
    found.sort(key=lambda group: _order(group.keys))
    if asked.by_metric is not None:
        number = asked.by_metric
        found.sort(key=lambda group: Place(group.figures[number], asked.descending))
    elif asked.after is not None:
        found = [group for group in found if _order(asked.after) < _order(group.keys)]
    return found[: asked.limit + 1]


def _keys(asked: Aggregation, row: Row) -> Iterator[tuple[ColumnValue, ...]]:
    """The groups that a row belongs to: of a list field one for each of its items."""
    held = [row[field.column] for field in asked.group_by]
    yield from product(*((dict.fromkeys(value) or (None,)) if isinstance(value, tuple) else (value,) for value in held))


def _order(keys: Sequence[ColumnValue]) -> tuple[Place, ...]:
    return tuple(Place(key, False) for key in keys)


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
            return total(metric, _sum(kind, values))
        case Function.avg:
            return average(metric, _sum(kind, values), len(values))
    return (min if metric.function is Function.min else max)(values, default=None)


def _sum(kind: ColumnKind, values: Sequence[Any]) -> int | float | Decimal | None:
    if not values:
        return None
    return reduce(EXACT.add, map(decimal_of, values)) if kind is ColumnKind.decimal else sum(values)
