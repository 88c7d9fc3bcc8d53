"""Aggregation: groups of resources with counts, sums, averages and extremes, as values that every engine shares.

Sums of integers and decimals are exact. An average is the sum divided by the number of values. A metric without values
is null. The engine computes sums of floats, so engines may differ in the last digits.
"""

import math
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Condition, Term, leaves
from autocrud.schema.column_types import ColumnKind, ColumnValue, decimal_of
from autocrud.schema.index_field import IndexField

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
AVERAGE = Context(prec=28, rounding=ROUND_HALF_EVEN)


class Function(StrEnum):
    """The function of a metric."""

    count_ = "count"
    distinct = "distinct"
    sum = "sum"
    avg = "avg"
    min = "min"
    max = "max"


NUMBERS = {ColumnKind.integer, ColumnKind.real, ColumnKind.decimal}


@dataclass(frozen=True, slots=True)
class Metric:
    """A function of a field's values in each group. `count` counts resources, or non-null values if it has a field."""

    function: Function
    field: IndexField | None = None

    def is_supported(self) -> bool:
        """Return True if the function applies to the field."""
        if self.field is None:
            return self.function is Function.count_
        if self.function is Function.count_:
            return True
        if self.field.is_list:
            return False
        if self.function in (Function.sum, Function.avg):
            return self.field.kind in NUMBERS
        return self.function is Function.distinct or self.field.kind is not ColumnKind.boolean


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A resolved aggregate query.

    Args:
        where: a condition of terms; None selects all resources.
        group_by: the fields to group by. A list field groups by its items, or by null if the list is empty. Without
            fields, all resources are one group.
        by_metric: the position of the metric that orders the groups; None orders by the keys.
        limit: the maximum number of groups.
        after: the keys of the last group of the previous page; requires an order by the keys.
    """

    where: Condition | None
    group_by: tuple[IndexField, ...]
    metrics: tuple[Metric, ...]
    include_deleted: bool = False
    by_metric: int | None = None
    descending: bool = False
    limit: int = 100
    after: tuple[ColumnValue, ...] | None = None

    @property
    def fields(self) -> list[IndexField]:
        """All fields of the condition, the groups and the metrics."""
        term_fields = [leaf.field for leaf in leaves(self.where) if isinstance(leaf, Term)]
        metric_fields = [metric.field for metric in self.metrics if metric.field is not None]
        return [*term_fields, *self.group_by, *metric_fields]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group: its keys as column values, and the value of each metric."""

    keys: tuple[ColumnValue, ...]
    figures: tuple[Any, ...]


def check_sum(metric: Metric, value: int | float | Decimal | None) -> int | float | Decimal | None:
    """Return the value of a sum metric.

    Raises:
        InvalidParameter: the sum exceeds the range of a float.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise overflow_error(metric)
    return value


def compute_average(metric: Metric, value_sum: int | float | Decimal | None, count: int) -> float | Decimal | None:
    """Return the value of an average metric: a decimal of 28 digits for decimals, else a float.

    Raises:
        InvalidParameter: the sum exceeds the range of a float.
    """
    if value_sum is None or not count:
        return None
    value_sum = check_sum(metric, value_sum)
    return AVERAGE.divide(value_sum, Decimal(count)) if isinstance(value_sum, Decimal) else (value_sum or 0) / count


def overflow_error(metric: Metric | None = None) -> InvalidParameter:
    """Return the error for a sum of floats that overflows."""
    name = "a sum" if metric is None or metric.field is None else f"{metric.function.value}:{metric.field.name}"
    return InvalidParameter("metrics", f"{name} exceeds the range of a float")


def json_value(kind: ColumnKind, value: ColumnValue) -> Any:
    """Convert a column value to its JSON value."""
    if value is None:
        return None
    if kind is ColumnKind.boolean:
        return bool(value)
    if kind is ColumnKind.decimal:
        return format_decimal(decimal_of(str(value)))
    return value


def format_decimal(number: Decimal) -> str:
    """Format a decimal without an exponent and without trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
