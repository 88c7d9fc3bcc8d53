"""Aggregates: how many resources there are for each value of some fields, and what their other fields come to.

Sums of integers and decimals are exact, averages are their sum by their number, and what has no values is null. Sums
of floats are the engine's, and may differ in the last digits.
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
    """What is made of the values of a field."""

    count_ = "count"
    distinct = "distinct"
    sum = "sum"
    avg = "avg"
    min = "min"
    max = "max"


NUMBERS = {ColumnKind.integer, ColumnKind.real, ColumnKind.decimal}


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of each group. `count` without a field counts resources, with one those where it is not null."""

    function: Function
    field: IndexField | None = None

    def suits(self) -> bool:
        """Whether the field has such a figure."""
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
    """What is asked for.

    Args:
        where: of terms; None for all resources.
        group_by: fields; a list field groups by its items, a resource that has none by null. None for one group of all.
        by_metric: the metric, by its position, that orders the groups; by their keys if None.
        limit: the most groups.
        after: the keys of the group just before; only where groups are ordered by their keys.
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
        """All fields that it names."""
        asked = [leaf.field for leaf in leaves(self.where) if isinstance(leaf, Term)]
        return [*asked, *self.group_by, *(metric.field for metric in self.metrics if metric.field is not None)]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group: its keys, as columns hold them, and a figure for each metric."""

    keys: tuple[ColumnValue, ...]
    figures: tuple[Any, ...]


def total(metric: Metric, found: int | float | Decimal | None) -> int | float | Decimal | None:
    """The figure of a sum.

    Raises:
        InvalidParameter: it is beyond what a float can hold.
    """
    if isinstance(found, float) and not math.isfinite(found):
        raise too_large(metric)
    return found


def average(metric: Metric, found: int | float | Decimal | None, number: int) -> float | Decimal | None:
    """The figure of an average: a float, or of decimals a decimal of 28 digits."""
    if found is None or not number:
        return None
    found = total(metric, found)
    return AVERAGE.divide(found, Decimal(number)) if isinstance(found, Decimal) else (found or 0) / number


def too_large(metric: Metric | None = None) -> InvalidParameter:
    """What is raised where a sum of floats overflows."""
    name = "a sum" if metric is None or metric.field is None else f"{metric.function.value}:{metric.field.name}"
    return InvalidParameter("metrics", f"{name} is beyond what a float can hold")


def json_value(kind: ColumnKind, value: ColumnValue) -> Any:
    """What a column holds as it stands in JSON."""
    if value is None:
        return None
    if kind is ColumnKind.boolean:
        return bool(value)
    if kind is ColumnKind.decimal:
        return plain(decimal_of(str(value)))
    return value


def plain(number: Decimal) -> str:
    """A decimal without an exponent and without zeros at its end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
